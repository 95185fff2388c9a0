export { FrameDecoder, DEFAULT_LIMITS, type FrameDecoderOptions, type FrameLimits } from './decoder.js';
export { encodeFrame, type EncodeOptions } from './encoder.js';
export { FrameError, type FrameErrorCode } from './error.js';
export { Frame } from './frame.js';
export { FrameHeaders, type HeadersInit } from './headers.js';
export { CLIENT_COMMANDS, SERVER_COMMANDS, type ClientCommand, type Command, type ServerCommand } from './names.js';
export { checkFrame, requiredHeaders } from './rules.js';
export { decodeText, encodeText } from './text.js';
export { negotiateVersion, VERSIONS, type Version } from './version.js';
