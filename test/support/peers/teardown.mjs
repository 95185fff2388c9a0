/** Ends what the tests have started. */
export default async function teardown() {
  await globalThis.stopPeers();
}
