export type Selector = (headers: { get(name: string): string | undefined }) => boolean;
export function compileSelector(_text: string): Selector {
  return () => true;
}
