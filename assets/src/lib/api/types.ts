// Owns the shapes of the HTTP API, written by hand from the contract.
// `npm run types` makes schema.ts from the OpenAPI document; this file then becomes a list of aliases.

export type Uid = string;
export type Time = string;

export interface Page<T> {
  items: T[];
  nextCursor: string | null;
  total: number;
}
export interface Named {
  uid: Uid;
  name: string;
}
export interface FieldError {
  field: string;
  message: string;
}
export interface ProblemDocument {
  type: string;
  title: string;
  status: number;
  detail: string;
  hint?: string | null;
  requestId?: string | null;
  code: string;
  fields?: FieldError[];
}

// Public
export interface Check {
  name: string;
  ok: boolean;
  detail: string;
}
export interface SetupCheck {
  name: string;
  outcome: 'ok' | 'warning' | 'failed';
  detail: string;
}
export interface Context {
  product: string;
  version: string;
  setup: 'required' | 'done';
  tenant: TenantRef | null;
  fqdn: string;
  fingerprint: string;
  /** Of whom is known to choose a password here; without the tenant's own words. */
  passwordPolicy: ShownPolicy | null;
}
export interface SetupResult {
  recoveryKit: string;
  fingerprint: string;
}

// Sessions
export interface TenantRef {
  uid: Uid;
  name: string;
  slug: string;
  kind?: ScopeKind;
}
export type ScopeKind = 'system' | 'tenant';
export interface Me {
  user: { uid: Uid; email: string; name: string };
  tenant: TenantRef & { kind: ScopeKind };
  expiresAt: Time;
  /** Absent for an API key. */
  sessionEndsAt: Time | null;
  permissions: { tenant: string[]; projects: Record<Uid, string[]> };
}
export type LoginResult =
  | { outcome: 'signedIn'; session: Me }
  | { outcome: 'chooseTenant'; tenants: TenantRef[] }
  | { outcome: 'passwordExpired'; changeToken: string };
export interface Invitation {
  tenant: Omit<TenantRef, 'uid'>;
  name: string;
  email: string;
  purpose: 'invite' | 'reset';
  policy: PasswordPolicy;
}
export interface InviteLink {
  url: string;
  expiresAt: Time;
}

// Tenants and projects
export interface Tenant {
  uid: Uid;
  name: string;
  slug: string;
  state: 'active' | 'suspended';
  createdAt: Time;
  version: number;
  counts: { projects: number; users: number; clusters: number };
}
export interface Project {
  uid: Uid;
  name: string;
  description: string;
  createdAt: Time;
  version: number;
  counts: { clusters: number };
}

// Access
export interface User {
  uid: Uid;
  email: string;
  name: string;
  state: 'invited' | 'active' | 'disabled';
  lastLoginAt: Time | null;
  createdAt: Time;
  version: number;
  teams: Named[];
}
export interface CreatedUser {
  user: User;
  invite: InviteLink | null;
}
export interface Member extends Named {
  email: string;
}
export interface Team {
  uid: Uid;
  name: string;
  description: string;
  createdAt: Time;
  version: number;
  members: Member[];
}
export type Scope = 'system' | 'tenant' | 'project';
export interface Role {
  uid: Uid;
  name: string;
  description: string;
  builtIn: boolean;
  scope: Scope;
  permissions: string[];
  createdAt: Time;
  version: number;
}
export interface Permission {
  name: string;
  component: string;
  operation: string;
  scope: Scope;
  description: string;
}
export interface Assignment {
  uid: Uid;
  role: Named;
  subject: Named & { kind: 'user' | 'team' };
  project: Named | null;
  createdAt: Time;
}
export interface Reason {
  role: Named;
  via: { kind: 'user' | 'team'; name: string };
  project: Named | null;
}
export interface Why {
  allowed: boolean;
  because: Reason[];
  explanation: string;
}
export interface ApiKey {
  uid: Uid;
  name: string;
  prefix: string;
  owner: Named;
  createdAt: Time;
  expiresAt: Time | null;
  lastUsedAt: Time | null;
}

// Clusters
export type Phase = 'pending' | 'healthy' | 'degraded' | 'unreachable';
export interface Capacity {
  allocatableMillis: number;
  usedMillis: number | null;
}
export interface Memory {
  allocatableBytes: number;
  usedBytes: number | null;
}
export interface Workload {
  kind: string;
  namespace: string;
  name: string;
  reason: string;
}
export interface Node {
  name: string;
  ready: boolean;
  schedulable: boolean;
  reason: string | null;
  version: string;
}
export interface ClusterSummary {
  nodes: { total: number; ready: number };
  pods: { running: number; pending: number; failed: number; succeeded: number; unknown: number };
  cpu: Capacity;
  memory: Memory;
  apiLatencyMs: number;
  unhealthyWorkloads: Workload[];
  nodeList: Node[];
}
export interface Cluster {
  uid: Uid;
  name: string;
  project: Named;
  phase: Phase;
  reasons: { code: string; message: string }[];
  kubernetesVersion: string | null;
  agentVersion: string | null;
  lastHeartbeatAt: Time | null;
  createdAt: Time;
  version: number;
  summary: ClusterSummary | null;
  hasKubeconfig: boolean;
  credential: { state: 'awaiting' | 'enrolled' | 'revoked'; expiresAt: Time | null };
}
export interface Import {
  command: string;
  pinnedCommand: string;
  manifestUrl: string;
  expiresAt: Time;
}
export interface StatisticsPoint {
  at: Time;
  nodesReady: number;
  nodesTotal: number;
  podsRunning: number;
  podsPending: number;
  podsFailed: number;
  cpuUsedMillis: number | null;
  cpuAllocatableMillis: number;
  memoryUsedBytes: number | null;
  memoryAllocatableBytes: number;
  apiLatencyMs: number;
}
export interface Statistics {
  stepSeconds: number;
  points: StatisticsPoint[];
}
export interface Overview {
  clusters: Record<'total' | Phase, number>;
  nodes: { total: number; ready: number };
  pods: { running: number; pending: number; failed: number };
  cpu: Capacity;
  memory: Memory;
  attention: Cluster[];
}

// Audit
export type Outcome = 'success' | 'denied' | 'failed';
export interface AuditRecord {
  uid: Uid;
  at: Time;
  scope: ScopeKind;
  project: Named | null;
  actor: { kind: 'user' | 'apiKey' | 'agent' | 'system' | 'anonymous'; uid: Uid | null; name: string | null };
  action: string;
  object: { kind: string; uid: Uid | null; name: string | null };
  outcome: Outcome;
  detail: Record<string, unknown>;
  requestId: string;
  address: string | null;
  position: number | null;
}
export interface ChainStatus {
  ok: boolean;
  records: number;
  checkpointAt: Time | null;
  lagMs: number;
  firstBad: { uid: Uid; position: number; reason: string } | null;
}

// Appliance
export interface PasswordPolicy {
  minLength: number;
  requireUpper: boolean;
  requireLower: boolean;
  requireDigit: boolean;
  requireSymbol: boolean;
  expiresAfterDays: number;
  history: number;
  blockList: string[];
  version?: number;
}
/** What anybody may know of it who chooses a password. */
export type ShownPolicy = Omit<PasswordPolicy, 'blockList' | 'version'> & { blockList?: string[] };
export interface Certificate {
  source: 'internal' | 'imported';
  subject: string;
  names: string[];
  issuer: string;
  notBefore: Time;
  notAfter: Time;
  fingerprint: string;
  daysLeft: number;
  caPem: string;
  version?: number;
}
export interface General {
  fqdn: string;
  version: number;
}
export interface Keys {
  rootKey: { id: string; createdAt: Time };
  jwtKeys: { id: string; createdAt: Time; state: string }[];
  tenantKeys: number;
  sealMode: 'unattended' | 'passphrase';
}
export interface Platform {
  version: string;
  uptimeSeconds: number;
  node: string;
  checks: Check[];
  memoryBytes: number;
  bus: { connected: boolean; agents: number };
}
