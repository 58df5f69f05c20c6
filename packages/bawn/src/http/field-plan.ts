import type { Catalogue, Field } from '../fields/field.ts'
import { compilePaths, type PathNode } from './json/path-tree.ts'
import { HttpError } from './problem.ts'
import { parsePattern, patternCovers, patternMatches, patternsOverlap, type RoutePattern } from './route-pattern.ts'

/** One place of a field in the bodies of a route. */
export interface Place {
  readonly field: Field
  readonly path: readonly string[]
  readonly carries: 'sealed' | 'plain'
}

/** What of a body is protected. */
export interface FieldPlan {
  readonly places: readonly Place[]
  /** Targets are indices of `places`. */
  readonly tree: PathNode
  /** Some place carries sealed values: request bodies have to be opened as well. */
  readonly seals: boolean
}

interface RoutedPlace extends Place {
  readonly route: RoutePattern
}

/**
 * Where fields stand in the JSON of which routes. A place counts for every request whose path it matches, whatever route takes it: a
 * place `/orders/*` also holds in a route `/*`.
 *
 * @returns for a route: from the path of a request to its plan
 * @throws {HttpError} `http.bad_route` when a place is no pattern, no route ever gets to it, or two fields claim one place
 */
export function compileFieldPlans(
  catalogue: Catalogue,
  routes: readonly RoutePattern[],
): (route: RoutePattern) => (segments: readonly string[]) => FieldPlan | undefined {
  const places = catalogue.fields.flatMap(field => field.json.map(place => routed(field, place, routes)))
  return route => {
    const always = places.filter(place => patternCovers(place.route, route))
    const sometimes = places.filter(place => !always.includes(place) && patternsOverlap(place.route, route))
    const plans = new Map<string, FieldPlan | undefined>()
    const planOf = (chosen: readonly RoutedPlace[]): FieldPlan | undefined => {
      const key = chosen.map(place => places.indexOf(place)).join()
      if (!plans.has(key)) plans.set(key, plan(chosen))
      return plans.get(key)
    }
    // A conflict is one between two, and shows at start, not at the first request that meets both.
    for (const place of sometimes) {
      for (const other of sometimes)
        if (patternsOverlap(place.route, other.route)) planOf([...new Set([...always, place, other])])
    }
    const usual = planOf(always)
    if (sometimes.length === 0) return () => usual
    return segments => {
      const here = sometimes.filter(place => patternMatches(place.route, segments))
      return here.length === 0 ? usual : planOf([...always, ...here])
    }
  }
}

function routed(field: Field, place: Field['json'][number], routes: readonly RoutePattern[]): RoutedPlace {
  const route = parsePattern(place.route)
  if (typeof route === 'string') {
    throw new HttpError('http.bad_route', `field ${field.name}: the route ${place.route} ${route}`)
  }
  if (!routes.some(other => patternsOverlap(route, other))) {
    throw new HttpError('http.bad_route', `field ${field.name}: no route leads to ${place.route}`)
  }
  return { field, route, path: place.path, carries: place.carries }
}

function plan(places: readonly RoutedPlace[]): FieldPlan | undefined {
  if (places.length === 0) return undefined
  const tree = compilePaths(places.map(place => place.path))
  if (typeof tree === 'string') {
    const names = [...new Set(places.map(place => place.field.name))].join(', ')
    throw new HttpError('http.bad_route', `fields ${names}: ${tree}`)
  }
  return Object.freeze({
    places: Object.freeze([...places]),
    tree,
    seals: places.some(place => place.carries === 'sealed'),
  })
}
