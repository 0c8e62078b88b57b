// Owns the three groups of the navigation and who sees which entry.
import type { ScopeKind } from '$lib/api/types.ts';
import { type PermissionName, can } from '$lib/can.ts';
import type { IconName } from '$lib/icons.ts';
import { session } from '$lib/session.svelte.ts';

export interface Entry {
  href: string;
  label: string;
  icon: IconName;
  key?: string;
  need?: PermissionName;
  scope?: ScopeKind;
}
export interface Group {
  name: string;
  entries: Entry[];
}

const groups: Group[] = [
  {
    name: 'Fleet',
    entries: [
      { href: '/overview', label: 'Overview', icon: 'overview', key: 'o', scope: 'tenant' },
      { href: '/clusters', label: 'Clusters', icon: 'cluster', key: 'c', need: 'cluster.list', scope: 'tenant' },
      { href: '/projects', label: 'Projects', icon: 'project', key: 'p', need: 'project.list', scope: 'tenant' },
      { href: '/tenants', label: 'Tenants', icon: 'tenant', key: 't', need: 'tenant.list', scope: 'system' },
    ],
  },
  {
    name: 'Access',
    entries: [
      { href: '/users', label: 'Users', icon: 'user', key: 'u', need: 'user.list' },
      { href: '/teams', label: 'Teams', icon: 'team', need: 'team.list' },
      { href: '/roles', label: 'Roles', icon: 'role', key: 'r', need: 'role.list' },
      { href: '/assignments', label: 'Assignments', icon: 'assignment', need: 'role.list' },
      { href: '/api-keys', label: 'API keys', icon: 'apiKey', key: 'k', need: 'apiKey.list' },
      { href: '/audit', label: 'Audit', icon: 'audit', key: 'a', need: 'audit.list' },
    ],
  },
  {
    name: 'Appliance',
    entries: [
      { href: '/platform', label: 'Platform', icon: 'platform', need: 'platform.get', scope: 'system' },
      { href: '/nodes', label: 'Nodes', icon: 'nodes', need: 'platform.get', scope: 'system' },
      { href: '/health', label: 'Health and hardening', icon: 'role', need: 'platform.get', scope: 'system' },
      { href: '/updates', label: 'Updates', icon: 'download', need: 'platform.get', scope: 'system' },
      { href: '/certificate', label: 'Certificate', icon: 'certificate', need: 'certificate.get' },
      { href: '/keys', label: 'Keys', icon: 'keys', need: 'platform.get', scope: 'system' },
      { href: '/settings', label: 'Settings', icon: 'settings', key: 's', need: 'passwordPolicy.get' },
    ],
  },
];

export function visibleGroups(): Group[] {
  const kind = session.me?.tenant.kind;
  return groups
    .map(({ name, entries }) => ({
      name,
      entries: entries
        .filter((entry) => (!entry.scope || entry.scope === kind) && (!entry.need || can(entry.need)))
        .map((entry) => (kind === 'system' && entry.href === '/users' ? { ...entry, label: 'System users' } : entry)),
    }))
    .filter((group) => group.entries.length > 0);
}
