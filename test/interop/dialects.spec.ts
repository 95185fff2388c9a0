import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { peers } from '../support/peers.js';
import { activemq } from './dialects/activemq.js';
import { both } from './dialects/both.js';
import { differences } from './dialects/differences.js';
import { rabbitmq } from './dialects/rabbitmq.js';
import { type Dialect, type Fact, Stage } from './dialects/stage.js';

/*
 * "The same behaviour" is seen, not believed: each scenario runs against our program and against the broker that it
 * was written for. What differs has to be in the table of differences, with its reason, and what is in the table has
 * to differ.
 */
const ours = peers.find(({ name }) => name === 'stompserver')!;
const brokers = [
  { dialect: 'rabbitmq', name: 'RabbitMQ' },
  { dialect: 'activemq', name: 'ActiveMQ' },
] as const;
const scenarios = [...both, ...rabbitmq, ...activemq];

it('has scenarios of different titles', () => {
  const titles = scenarios.map(({ title }) => title);
  expect(titles).toEqual([...new Set(titles)]);
  expect(scenarios.flatMap(({ dialects }) => dialects).length).toBeGreaterThanOrEqual(40);
});

it('lists differences of scenarios that there are', () => {
  const unknown = differences.filter(({ dialect, scenario }) => {
    return !scenarios.some(({ title, dialects }) => title === scenario && dialects.includes(dialect));
  });
  expect(unknown).toEqual([]);
});

function allowed(dialect: Dialect, title: string): Record<string, [ours: Fact, theirs: Fact]> {
  const listed = differences.filter((each) => each.dialect === dialect && each.scenario === title);
  return Object.fromEntries(listed.map((each) => [each.fact, [each.ours, each.theirs]]));
}

for (const { dialect, name } of brokers) {
  const theirs = peers.find((peer) => peer.name === name);
  if (theirs === undefined) continue;

  describe(`as ${name} does`, () => {
    let sides: Awaited<ReturnType<typeof theirs.start>>[] = [];
    beforeAll(async () => (sides = await Promise.all([ours.start(), theirs.start()])), 180_000);
    afterAll(async () => {
      for (const side of sides) await side.stop?.();
    });

    const own = scenarios.filter(({ dialects }) => dialects.includes(dialect));
    it.each(own.map((scene) => [scene.title, scene] as const))('%s', async (title, scene) => {
      const [here, there] = await Promise.all(sides.map((side) => new Stage(side, dialect).run(scene.run)));
      const facts = [...new Set([...Object.keys(here!), ...Object.keys(there!)])];
      const seen = facts
        .filter((fact) => JSON.stringify(here![fact]) !== JSON.stringify(there![fact]))
        .map((fact) => [fact, [here![fact] ?? null, there![fact] ?? null]]);
      expect(Object.fromEntries(seen)).toEqual(allowed(dialect, title));
    });
  });
}
