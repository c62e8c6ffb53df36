// Stands in for parts of supabase-js that this page does not use, a tenth of all its scripts: passkeys, wallets,
// the administration of users, presence and filters in Realtime, and Storage (files are sent to and read from signed
// addresses, which the functions give out).
// dev/web/bundle.ts says which modules it replaces; the names are those that they export.

function unused() {
  throw new TypeError("this page was built without that part of supabase-js");
}

// Of GoTrueAdminApi and RealtimePresence, which supabase-js creates. The page uses one method: signing out ends the
// session at the server through the administration's class.
export default class {
  constructor(options) {
    Object.assign(this, options);
  }
  async signOut(token, scope) {
    // Not as a method: the browser's own refuses to be one.
    const send = this.fetch ?? fetch;
    const answer = await send(`${this.url}/logout?scope=${scope}`, {
      method: "POST",
      headers: { ...this.headers, Authorization: `Bearer ${token}` },
    });
    // As the real one: a session that has ended already is signed out.
    const isOver = answer.ok || [401, 403, 404].includes(answer.status);
    return { data: null, error: isOver ? null : new Error("sign-out failed") };
  }
}
export const REALTIME_PRESENCE_LISTEN_EVENTS = {};
export class RealtimePostgresFilterBuilder {}
export const postgresChangesFilter = unused;
export class WebAuthnApi {}
export class StorageClient {
  from = unused;
}
export class StorageApiError extends Error {}
export const browserSupportsWebAuthn = () => false;
export const webAuthnAbortService = { cancelCeremony() {} };
export const createCredential = unused;
export const createSiweMessage = unused;
export const deserializeCredentialCreationOptions = unused;
export const deserializeCredentialRequestOptions = unused;
export const fromHex = unused;
export const getAddress = unused;
export const getCredential = unused;
export const serializeCredentialCreationResponse = unused;
export const serializeCredentialRequestResponse = unused;
export const toHex = unused;
