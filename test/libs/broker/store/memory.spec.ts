import { MemoryStore } from 'nestjs-stomp-broker';
import { describeStore } from './store.contract.js';

describeStore('memory', { make: () => new MemoryStore() });
