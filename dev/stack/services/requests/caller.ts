/** The sender of a request to the services. */
import type { JWTPayload } from "jose";

/** Who sends a request: the role of the database that it runs as, and the claims that policies can read. */
export interface Caller {
  role: string;
  claims: JWTPayload;
}
