import { isPattern, levelsOf } from './pattern.js';

/** ActiveMQ's queue of one consumer of a virtual topic, and the topic. */
const VIRTUAL = /^Consumer\.[^./]+[./](VirtualTopic[./].+)$/;

/** The topic that feeds the queue of that name, as ActiveMQ has it; undefined where none does. */
export function virtualTopic(queue: string): string | undefined {
  const topic = VIRTUAL.exec(queue)?.[1];
  return topic === undefined ? undefined : `/topic/${topic}`;
}

/** The topics that feed the queues of a pattern, or of a name: a pattern of them; undefined where none does. */
export function virtualTopics(queues: string): string | undefined {
  if (!isPattern(queues)) return virtualTopic(queues);
  const wanted = ['Consumer', '*', 'VirtualTopic'];
  const levels = levelsOf(queues);
  for (const [at, level] of wanted.entries()) {
    const own = levels[at];
    if (own === '#' || own === '>') return '/topic/VirtualTopic.#';
    if (own !== level && own !== '*' && level !== '*') return undefined;
  }
  return levels.length > wanted.length ? `/topic/VirtualTopic.${levels.slice(wanted.length).join('.')}` : undefined;
}
