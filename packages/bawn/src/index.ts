// The package's public door: what a plug-in or an embedding program may use.
export { type Blame, type ErrorCode, type ErrorSpec, errors, GatewayError } from './error.ts'
