// Figures as a table of Markdown, and as a plot.
import { init } from 'echarts';

const show = (value) => {
  if (typeof value !== 'number') return value ?? '-';
  if (Number.isNaN(value)) return '-';
  return value >= 1000 ? String(Math.round(value)) : value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
};

export function table(heads, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |\n`;
  const rule = heads.map((_head, i) => (i === 0 ? '---' : '--:'));
  return line(heads) + line(rule) + rows.map((row) => line(row.map(show))).join('');
}

/** @param lines pairs of numbers for each name */
export function plot(title, of, lines) {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: 640, height: 400 });
  chart.setOption({
    animation: false,
    backgroundColor: '#fff',
    title: { text: title, left: 'center' },
    legend: { bottom: 0 },
    grid: { left: 70, right: 30, bottom: 80 },
    xAxis: { type: 'value', name: of, nameLocation: 'middle', nameGap: 30 },
    yAxis: { type: 'value', name: 'ms of CPU' },
    series: Object.entries(lines).map(([name, data]) => ({ type: 'line', name, data })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}
