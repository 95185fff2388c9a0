export { AdmissionController } from './admission/admission.controller.js';
export { AccessGuard, AccessRules } from './admission/access.guard.js';
export type { Audit, AuditEvent } from './admission/audit.js';
export { AuthGuard } from './admission/auth.guard.js';
export { Lockout, type LockoutOptions } from './admission/lockout.js';
export { type Access, ACCESS, compileRules, type Decide, type Rule, type Rules } from './admission/rules.js';
export { AdmissionContext, AdmissionRequest } from './admission/request.js';
export { type Applicant, InlineUsers, type User, type UserDirectory, USERS } from './admission/users.js';
export { type Admission, StompBroker, type StompBrokerOptions } from './broker.js';
export {
  BrokerModule,
  type BrokerModuleAsyncOptions,
  type BrokerModuleExtras,
  type BrokerOptions,
} from './broker.module.js';
export type { Backlog, Cursor, Entry, Sweep } from './destination/backlog.js';
export { Slice } from './destination/slice.js';
export { checkPolicies, type Policy } from './destination/policy.js';
export type { Engine } from './engine/engine.js';
export { LocalEngine } from './engine/local.js';
export { MemoryStore } from './store/memory.js';
export { DiskStore, type DiskStoreOptions, type Sync } from './store/disk.js';
export type { Kept, Store } from './store/store.js';
export { checkStore, type StoreCheck } from './store/check.js';
export { compactStore } from './store/compact.js';
export { readStore, type ReadStoreOptions, type StoredMessage } from './store/dump.js';
export { StoreUnavailableError } from './store/disk/unavailable.js';
