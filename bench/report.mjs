// Figures as tables of Markdown and as plots, with the facts of the machine they come from.
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { init } from 'echarts';
import { pinned } from './servers.mjs';

const show = (value) => {
  if (typeof value !== 'number') return value ?? '-';
  if (Number.isNaN(value)) return '-';
  return value >= 1000 ? String(Math.round(value)) : value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
};

export function table(heads, rows) {
  const cells = [heads, heads.map((_head, i) => (i === 0 ? '---' : '--:')), ...rows.map((row) => row.map(show))];
  const widths = heads.map((_head, i) => Math.max(...cells.map((row) => row[i].length)));
  const line = (row) => {
    const padded = row.map((cell, i) => {
      if (cell === '--:') return `${'-'.repeat(widths[i] - 1)}:`;
      if (cell === '---') return '-'.repeat(widths[i]);
      return i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]);
    });
    return `| ${padded.join(' | ')} |\n`;
  };
  return cells.map(line).join('');
}

export const commit = (root) =>
  execFileSync('git', ['describe', '--always', '--dirty'], { cwd: root, encoding: 'utf8' }).trim();

const atStart = loadavg()[0];
/** What figures depend on. Who else is at work shows in the load: two are ours, while something is measured. */
export function facts(root) {
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const load = `load ${atStart.toFixed(1)} at the start and ${loadavg()[0].toFixed(1)} at the end`;
  return (
    `${new Date().toISOString().slice(0, 10)}, commit ${commit(root)}; ${cpus().length} x ${cpus()[0]?.model}, ${memory}, ` +
    `${process.platform} ${release()}, Node ${process.version}; ${pinned ? 'a core each' : 'not pinned'}; ${load}.`
  );
}

/** A straight line through pairs of numbers, by least squares, and how much of the variation it explains. */
export function line(pairs) {
  const mean = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const [x, y] = [mean(pairs.map(([a]) => a)), mean(pairs.map(([, b]) => b))];
  const sum = (f) => pairs.reduce((total, [a, b]) => total + f(a - x, b - y), 0);
  const slope = sum((a, b) => a * b) / sum((a) => a * a);
  return { slope, start: y - slope * x, fit: sum((a, b) => a * b) ** 2 / (sum((a) => a * a) * sum((_a, b) => b * b)) };
}

/** @param lines pairs of numbers for each name */
export function plot(title, of, lines) {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: 640, height: 400 });
  const straight = (pairs) => {
    const { slope, start } = line(pairs);
    const ends = [pairs[0][0], pairs.at(-1)[0]];
    return ends.map((x) => [x, start + slope * x]);
  };
  chart.setOption({
    animation: false,
    backgroundColor: '#fff',
    title: { text: title, left: 'center' },
    legend: { bottom: 0, data: Object.keys(lines) },
    grid: { left: 70, right: 40, bottom: 80 },
    xAxis: { type: 'value', name: of, nameLocation: 'middle', nameGap: 30 },
    yAxis: { type: 'value', name: 'ms of CPU' },
    series: Object.entries(lines).flatMap(([name, data], i) => [
      { type: 'scatter', name, data, color: ['#5470c6', '#91cc75'][i] },
      {
        type: 'line',
        data: straight(data),
        symbol: 'none',
        lineStyle: { type: 'dashed', color: ['#5470c6', '#91cc75'][i] },
      },
    ]),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}
