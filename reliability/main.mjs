/* npm run reliability: the same runs against our broker and those of others that are installed, as a table. */
import { parseArgs } from 'node:util';
import { table } from '../bench/report.mjs';
import { beats, cuts, herd } from './runs.mjs';
import { other, others, ours } from './targets.mjs';

const { values } = parseArgs({
  options: { connections: { type: 'string', default: '1000' }, seconds: { type: 'string', default: '10' } },
});
const [count, milliseconds] = [Number(values.connections), Number(values.seconds) * 1_000];

const rows = {
  'connections held': [],
  'ms until all had subscribed': [],
  'ms until all were back and served, after all were cut at once': [],
  'messages missed after that': [],
  'messages receipted while connections were cut': [],
  cuts: [],
  'receipted, and lost': [],
  'delivered twice, and saying so': [],
  'delivered twice without saying so': [],
  'longest gap in heart-beats of 1,000 ms under full load, in ms': [],
};
const names = [];
for (const make of [() => ours(), ...others.map((name) => () => other(name))]) {
  const target = await make();
  names.push(target.name);
  const run = async (act, list) => {
    try {
      return list(await act());
    } catch (error) {
      console.error(`${target.name}: ${error.message}`);
      return [];
    }
  };
  const figures = [
    ...(await run(
      () => herd(target, count),
      ({ held, arrival, returned, recovery, missed }) => [held, arrival, returned ? recovery : NaN, missed],
    )),
    ...(await run(
      () => cuts(target, milliseconds),
      ({ receipted, cuts, lost, twice, unsaid }) => [receipted, cuts, lost, twice, unsaid],
    )),
    ...(await run(
      () => beats(target, milliseconds),
      ({ gap }) => [gap],
    )),
  ];
  for (const [index, list] of Object.values(rows).entries()) list.push(figures[index] ?? NaN);
  await target.stop();
}
console.log(
  table(
    ['what', ...names],
    Object.entries(rows).map(([name, list]) => [name, ...list]),
  ),
);
process.exit(0);
