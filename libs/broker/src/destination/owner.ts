/** The name of a session's user: the user itself where it is a text, or its `name`; undefined where it has none. */
export function nameOf(user: unknown): string | undefined {
  if (typeof user === 'string') return user;
  const name: unknown = typeof user === 'object' && user !== null && 'name' in user ? user.name : undefined;
  return typeof name === 'string' ? name : undefined;
}
