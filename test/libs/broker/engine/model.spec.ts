import { LocalEngine, MemoryStore } from 'nestjs-stomp-broker';
import { holds } from './model/holds.js';

holds('LocalEngine on a MemoryStore', (policies) => ({ engine: new LocalEngine(new MemoryStore(), policies) }));
