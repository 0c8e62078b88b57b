// Owns which address shows which page, for whom. Each page is its own chunk, loaded when it is visited.
import type { Component } from 'svelte';
import type { ScopeKind } from '$lib/api/types.ts';
import type { PermissionName } from '$lib/can.ts';
import { match } from '$lib/router.svelte.ts';

type Page = Component<Record<string, string>>;
export interface Route {
  pattern: string;
  load: () => Promise<{ default: unknown }>;
  /** Pages without it are for anybody, with no shell around them. */
  scope?: ScopeKind | 'any';
  need?: PermissionName;
}

export const routes: Route[] = [
  { pattern: '/setup', load: () => import('./pages/setup/Setup.svelte') },
  { pattern: '/login', load: () => import('./pages/auth/Login.svelte') },
  { pattern: '/system', load: () => import('./pages/auth/Login.svelte') },
  { pattern: '/invite', load: () => import('./pages/auth/Invite.svelte') },

  { pattern: '/help', scope: 'any', load: () => import('./pages/help/Help.svelte') },
  { pattern: '/help/:topic', scope: 'any', load: () => import('./pages/help/Help.svelte') },

  { pattern: '/overview', scope: 'tenant', load: () => import('./pages/Overview.svelte') },
  {
    pattern: '/clusters',
    scope: 'tenant',
    need: 'cluster.list',
    load: () => import('./pages/clusters/Clusters.svelte'),
  },
  {
    pattern: '/clusters/:uid',
    scope: 'tenant',
    need: 'cluster.get',
    load: () => import('./pages/clusters/Cluster.svelte'),
  },
  {
    pattern: '/projects',
    scope: 'tenant',
    need: 'project.list',
    load: () => import('./pages/projects/Projects.svelte'),
  },
  { pattern: '/tenants', scope: 'system', need: 'tenant.list', load: () => import('./pages/tenants/Tenants.svelte') },
  {
    pattern: '/tenants/:uid',
    scope: 'system',
    need: 'tenant.get',
    load: () => import('./pages/tenants/Tenant.svelte'),
  },

  { pattern: '/users', scope: 'any', need: 'user.list', load: () => import('./pages/users/Users.svelte') },
  { pattern: '/users/:uid', scope: 'any', need: 'user.get', load: () => import('./pages/users/User.svelte') },
  { pattern: '/teams', scope: 'any', need: 'team.list', load: () => import('./pages/teams/Teams.svelte') },
  { pattern: '/teams/:uid', scope: 'any', need: 'team.get', load: () => import('./pages/teams/Team.svelte') },
  { pattern: '/roles', scope: 'any', need: 'role.list', load: () => import('./pages/roles/Roles.svelte') },
  { pattern: '/roles/:uid', scope: 'any', need: 'role.get', load: () => import('./pages/roles/Role.svelte') },
  {
    pattern: '/assignments',
    scope: 'any',
    need: 'role.list',
    load: () => import('./pages/assignments/Assignments.svelte'),
  },
  { pattern: '/api-keys', scope: 'any', need: 'apiKey.list', load: () => import('./pages/apikeys/ApiKeys.svelte') },
  { pattern: '/audit', scope: 'any', need: 'audit.list', load: () => import('./pages/audit/Audit.svelte') },
  { pattern: '/audit/:uid', scope: 'any', need: 'audit.get', load: () => import('./pages/audit/Record.svelte') },

  {
    pattern: '/platform',
    scope: 'system',
    need: 'platform.get',
    load: () => import('./pages/appliance/Platform.svelte'),
  },
  {
    pattern: '/certificate',
    scope: 'any',
    need: 'certificate.get',
    load: () => import('./pages/appliance/Certificate.svelte'),
  },
  { pattern: '/health', scope: 'system', need: 'platform.get', load: () => import('./pages/appliance/Health.svelte') },
  { pattern: '/nodes', scope: 'system', need: 'platform.get', load: () => import('./pages/nodes/Nodes.svelte') },
  {
    pattern: '/updates',
    scope: 'system',
    need: 'platform.get',
    load: () => import('./pages/appliance/Updates.svelte'),
  },
  { pattern: '/keys', scope: 'system', need: 'platform.get', load: () => import('./pages/appliance/Keys.svelte') },
  {
    pattern: '/settings',
    scope: 'any',
    need: 'passwordPolicy.get',
    load: () => import('./pages/settings/Settings.svelte'),
  },
];

export interface Found {
  route: Route;
  params: Record<string, string>;
}

export function find(path: string): Found | null {
  for (const route of routes) {
    const found = match(route.pattern, path);
    if (found) return { route, params: found.params };
  }
  return null;
}

export const loadPage = async (route: Route): Promise<Page> => (await route.load()).default as Page;
