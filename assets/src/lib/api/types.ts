// Owns the names of the API's shapes. schema.ts is made from the OpenAPI document by `npm run types`.
import type { components } from './schema.ts';

type Schemas = components['schemas'];
/** Answers always have all their fields; "optional" in the document only says that one can be null. */
type Whole<T> = T extends (infer E)[]
  ? Whole<E>[]
  : T extends object
    ? { [K in keyof T]-?: Whole<Exclude<T[K], undefined>> }
    : T;
type View<Name extends keyof Schemas> = Whole<Schemas[Name]>;
/** Fields that the document calls strings, and that have a few known values. */
type Known<T, Fields> = Omit<T, keyof Fields> & Fields;

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
export type FieldError = View<'ProblemField'>;
export type ProblemDocument = View<'Problem'>;

// Before anybody has signed in
export type Check = View<'CheckView'>;
export type SetupCheck = Known<View<'SetupCheck'>, { outcome: 'ok' | 'warning' | 'failed' }>;
export type SetupChecks = Known<View<'SetupChecks'>, { checks: SetupCheck[] }>;
export type Context = Known<View<'ContextView'>, { setup: 'required' | 'done' }>;
export type SetupResult = View<'SetupDone'>;

// Sessions
export type TenantRef = Known<View<'TenantRef'>, { kind: ScopeKind }>;
export type ScopeKind = 'system' | 'tenant';
export type Me = Known<View<'Me'>, { tenant: TenantRef }>;
export type LoginResult =
  | { outcome: 'signedIn'; session: Me }
  | { outcome: 'chooseTenant'; tenants: TenantRef[] }
  | Extract<View<'LoginView'>, { outcome: 'passwordExpired' }>;
export type Invitation = Known<View<'InvitedView'>, { purpose: 'invite' | 'reset' }>;
export type InviteLink = View<'InviteView'>;

// Tenants and projects
export type Tenant = Known<View<'TenantView'>, { state: Schemas['TenantState'] }>;
export type Project = View<'ProjectView'>;

// Access
export type User = Known<View<'UserView'>, { state: 'invited' | 'active' | 'disabled' }>;
export type CreatedUser = Known<View<'CreatedUserView'>, { user: User }>;
export type Member = View<'TeamMember'>;
export type Team = View<'TeamView'>;
export type Scope = Schemas['Scope'];
export type Role = View<'RoleView'>;
export type Permission = View<'PermissionView'>;
export type Assignment = Known<View<'AssignmentView'>, { subject: Named & { kind: 'user' | 'team' } }>;
export type Reason = Known<View<'ReasonView'>, { via: { kind: 'user' | 'team'; name: string } }>;
export type Why = Known<View<'WhyView'>, { because: Reason[] }>;
export type Able = Known<View<'AbleView'>, { because: Reason[] }>;
export type ApiKey = View<'ApiKeyView'>;

// Clusters
export type Phase = 'pending' | 'healthy' | 'degraded' | 'unreachable';
export type Workload = View<'WorkloadView'>;
export type Node = View<'NodeView'>;
export type ClusterSummary = View<'SummaryView'>;
export type Cluster = Known<
  View<'ClusterView'>,
  { phase: Phase; credential: Known<View<'CredentialView'>, { state: 'awaiting' | 'enrolled' | 'revoked' }> }
>;
export type Import = View<'ImportView'>;
export type StatisticsPoint = View<'PointView'>;
export type Statistics = View<'StatisticsView'>;
export type Overview = Known<View<'OverviewView'>, { attention: Cluster[] }>;

// Audit
export type Outcome = 'success' | 'denied' | 'failed';
export type AuditRecord = Known<
  View<'RecordView'>,
  {
    outcome: Outcome;
    scope: ScopeKind;
    actor: Known<View<'ActorView'>, { kind: 'user' | 'apiKey' | 'agent' | 'system' | 'anonymous' }>;
    detail: Record<string, unknown>;
  }
>;
export type ChainStatus = View<'ChainView'>;

// Appliance
export type PasswordPolicy = Schemas['PolicyView'];
/** What anybody may know of a policy who chooses a password. */
export type PasswordRules = Omit<PasswordPolicy, 'version' | 'blockList'> & { blockList?: string[] };
export type Certificate = Known<View<'CertificateView'>, { source: 'internal' | 'imported' }>;
export type Keys = Known<View<'KeysView'>, { sealMode: 'unattended' | 'passphrase' }>;
export type Platform = View<'PlatformView'>;
export type HardeningItem = Known<View<'HardeningItem'>, { outcome: 'pass' | 'fail' | 'notApplicable' }>;
export type Finding = Known<View<'DoctorFindingView'>, { severity: 'error' | 'warning' }>;
export type Checks = {
  doctor: Omit<View<'DoctorView'>, 'findings'> & { findings: Finding[] };
  hardening: Omit<View<'HardeningView'>, 'items'> & { items: HardeningItem[] };
};
export type Updates = Known<
  View<'UpdatesView'>,
  {
    last: Known<
      View<'OutcomeView'>,
      { result: 'waiting' | 'trial' | 'good' | 'failing' | 'rolledBack' | 'left' | 'interrupted' | 'gone' }
    > | null;
    progress: Known<
      View<'ProgressView'>,
      { step: 'downloading' | 'checking' | 'unpacking' | 'writing' | 'done' | 'failed' }
    > | null;
  }
>;
export type ClusterNode = Known<
  View<'PlatformNodeView'>,
  { database: Known<View<'NodeDatabaseView'>, { role: 'leader' | 'synchronous' | 'replica' }> | null }
>;
export type Nodes = Known<
  View<'PlatformNodesView'>,
  {
    standing: 'alone' | 'forming' | 'good' | 'degraded' | 'bad';
    phase: 'none' | 'forming' | 'running';
    nodes: ClusterNode[];
    work: Known<View<'NodesWorkView'>, { what: 'removeNode' | 'switchOver' }> | null;
  }
>;
export type NodeInvitation = View<'NodeInvitationView'>;
export type UpdateOffer = View<'OfferView'>;
export type UpdateCheck = View<'CheckedView'>;
