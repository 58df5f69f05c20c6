/** Roles that were granted to each role, by its name: without a cycle, as the stores keep it. */
export type RoleHierarchy = ReadonlyMap<string, readonly string[]>

/**
 * Roles, and the roles that those have in turn.
 *
 * @param direct in any order; names that the hierarchy does not know have no roles of their own
 * @returns sorted, each once
 */
export function effectiveRoles(direct: readonly string[], hierarchy: RoleHierarchy): readonly string[] {
  const found = new Set(direct)
  // What is added while we go through it is visited too.
  for (const role of found) for (const inner of hierarchy.get(role) ?? []) found.add(inner)
  return [...found].sort()
}

/** Whether somebody with `role` has `wanted` too, be it over others. */
export function includesRole(hierarchy: RoleHierarchy, role: string, wanted: string): boolean {
  return effectiveRoles([role], hierarchy).includes(wanted)
}
