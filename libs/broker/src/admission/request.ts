import type { X509Certificate } from 'node:crypto';
import { BaseRpcContext } from '@nestjs/microservices';
import type { Frame, Session } from 'nestjs-stomp/server';

/** The payload of the admission handlers: what a client asks for. */
export class AdmissionRequest {
  /** The `destination` of SEND and SUBSCRIBE, of a list each by itself; undefined for CONNECT. */
  readonly destination: string | undefined;
  /** The `login` header of CONNECT; undefined where it is empty: some clients send that for none. */
  readonly login: string | undefined;
  /** The `passcode` header of CONNECT, likewise. It is not enumerable, so that no log prints it by accident. */
  declare readonly passcode: string | undefined;
  /** The client's address; undefined where it came over no socket. */
  readonly address: string | undefined;
  readonly vhost: string;
  /** The certificate that the client showed, where TLS asked for one and could verify it; not enumerable. */
  declare readonly certificate: X509Certificate | undefined;
  /**
   * What the CONNECT handler returned for this session. A guard of CONNECT sets it, to a name or a {@link User}, for
   * the handler to return.
   */
  user: unknown;

  constructor(
    readonly command: 'CONNECT' | 'SEND' | 'SUBSCRIBE',
    session: Session,
    frame: Frame,
    destination?: string,
  ) {
    const { headers } = frame;
    this.destination = destination;
    const given = (name: string) => (command === 'CONNECT' ? headers.get(name) || undefined : undefined);
    this.login = given('login');
    const passcode = given('passcode');
    Object.defineProperty(this, 'passcode', { value: passcode, enumerable: false });
    this.address = session.address;
    Object.defineProperty(this, 'certificate', { value: session.certificate, enumerable: false });
    this.vhost = session.vhost;
    // Nobody is who he was before he has shown it again.
    this.user = command === 'CONNECT' ? undefined : session.user;
  }
}

/** The `@Ctx()` of the admission handlers. */
export class AdmissionContext extends BaseRpcContext<[Session, Frame]> {
  /** The client's session. */
  getSession(): Session {
    return this.args[0];
  }

  /** The frame that has to be admitted. */
  getFrame(): Frame {
    return this.args[1];
  }
}
