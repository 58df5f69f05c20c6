// The realm that docs/guide/keycloak.md tells an operator to make, as Keycloak imports it.

const audience = {
  name: 'audience',
  protocol: 'openid-connect',
  protocolMapper: 'oidc-audience-mapper',
  config: { 'included.custom.audience': 'shop', 'access.token.claim': 'true', 'introspection.token.claim': 'true' },
}
const rolesOfPeople = {
  name: 'roles',
  protocol: 'openid-connect',
  protocolMapper: 'oidc-usermodel-realm-role-mapper',
  config: {
    'claim.name': 'realm_access.roles',
    'jsonType.label': 'String',
    multivalued: 'true',
    'id.token.claim': 'true',
  },
}

/** Programs of users that ask for tokens by name and password: the shortest way to one. */
const program = (clientId: string, protocolMappers: readonly unknown[]) => ({
  clientId,
  publicClient: true,
  standardFlowEnabled: false,
  directAccessGrantsEnabled: true,
  protocolMappers,
})

const person = (username: string, realmRoles: readonly string[]) => ({
  username,
  enabled: true,
  email: `${username}@example.org`,
  emailVerified: true,
  firstName: username,
  lastName: 'Example',
  credentials: [{ type: 'password', value: passwordOf(username), temporary: false }],
  realmRoles,
})

export const passwordOf = (username: string): string => `${username} knows`
export const clientSecret = 'between us'

/** @param gate what browsers call the gateway */
export const realm = (gate: string) => ({
  realm: 'corp',
  enabled: true,
  roles: { realm: [{ name: 'staff' }, { name: 'visitor' }] },
  users: [person('alice', ['staff']), person('carol', ['visitor'])],
  clients: [
    program('cli', [audience]),
    program('elsewhere', []),
    {
      clientId: 'bawn',
      secret: clientSecret,
      publicClient: false,
      standardFlowEnabled: true,
      directAccessGrantsEnabled: false,
      redirectUris: [`${gate}/login/callback`],
      attributes: { 'pkce.code.challenge.method': 'S256', 'post.logout.redirect.uris': `${gate}/logout/done` },
      protocolMappers: [audience, rolesOfPeople],
    },
  ],
})
