export { Connection, type ConnectionHandler, type ConnectionOptions } from './connection.js';
export { dial, type DialOptions } from './dial.js';
export { agreeHeartBeat, HeartBeat, type HeartBeating, type HeartBeatOffer, parseHeartBeat } from './heartbeat.js';
export { formatStompUrl, parseStompUrl, STOMP_PORT, STOMP_TLS_PORT, type StompAddress } from './url.js';
