// The package's public door.
export interface PrivateKey {
  readonly kind: 'private'
}
export interface BlockKey {
  readonly kind: 'block'
}
