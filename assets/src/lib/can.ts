// Owns the names of permissions that the interface asks about. The server decides; this only hides what would fail.
import { session } from './session.svelte.ts';

export type PermissionName =
  | `${'tenant' | 'project' | 'user' | 'team' | 'role' | 'apiKey' | 'cluster'}.${'list' | 'get' | 'create' | 'update' | 'delete'}`
  | 'cluster.import'
  | 'cluster.kubeconfig'
  | 'role.assign'
  | `${'passwordPolicy' | 'certificate' | 'platform'}.${'get' | 'update'}`
  | 'audit.list'
  | 'audit.get';

/** May the caller do this in the whole scope, in this project, or (without a project) in any project? */
export function can(permission: PermissionName, project?: string): boolean {
  const held = session.me?.permissions;
  if (!held) return false;
  if (held.tenant.includes(permission)) return true;
  if (project) return held.projects[project]?.includes(permission) ?? false;
  return Object.values(held.projects).some((names) => names.includes(permission));
}
