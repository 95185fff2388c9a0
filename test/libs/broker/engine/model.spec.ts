import { LocalEngine, MemoryStore } from 'nestjs-stomp-broker';
import { holds } from './model/holds.js';
import { kept } from './model/kept.js';

holds('LocalEngine on a MemoryStore', (policies) => ({ engine: new LocalEngine(new MemoryStore(), policies) }));

// So that restarts are known to be understood, before there is a store to be restarted.
holds('an engine that is not ended by its end', kept);
