import { GatewayError } from '../../error.ts'

/** A rule of the firewall cannot be used. */
export class FirewallError extends GatewayError<'postgres.firewall_invalid'> {}
