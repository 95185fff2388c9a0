/** The one function of the `bcrypt` package that is used; the package brings no types of its own. */
declare module 'bcrypt' {
  const bcrypt: {
    /** Whether `hash` was made from `text`; runs on a thread of libuv's pool. Only 72 bytes of `text` count. */
    compare(text: string, hash: string): Promise<boolean>;
  };
  export default bcrypt;
}
