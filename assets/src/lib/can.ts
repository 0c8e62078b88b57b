// Owns the names of permissions that the interface asks about. The server decides; this only hides what would fail.
import { session } from './session.svelte.ts';

export type PermissionName =
  | `${'tenant' | 'project' | 'user' | 'team' | 'role' | 'assignment' | 'apiKey' | 'cluster'}.${'list' | 'get' | 'create' | 'update' | 'delete'}`
  | 'cluster.kubeconfig' | 'audit.list' | 'audit.export' | 'audit.verify'
  | 'settings.get' | 'settings.update' | 'certificate.get' | 'certificate.update'
  | 'key.get' | 'key.rotate' | 'platform.get';

/** May the caller do this in the whole scope, in this project, or (without a project) in any project? */
export function can(permission: PermissionName, project?: string): boolean {
  const held = session.me?.permissions;
  if (!held) return false;
  if (held.tenant.includes(permission)) return true;
  if (project) return held.projects[project]?.includes(permission) ?? false;
  return Object.values(held.projects).some((names) => names.includes(permission));
}
