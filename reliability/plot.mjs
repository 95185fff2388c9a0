import { init } from 'echarts';

/** A plot as SVG: each line with an axis of its own, the first on the left. */
export function plot(title, lines) {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: 640, height: 400 });
  chart.setOption({
    animation: false,
    backgroundColor: '#fff',
    title: { text: title, left: 'center' },
    legend: { bottom: 0 },
    grid: { left: 60, right: 60, bottom: 80 },
    xAxis: { type: 'value', name: 'seconds', nameLocation: 'middle', nameGap: 30 },
    yAxis: Object.keys(lines).map((name) => ({ type: 'value', name, min: 0 })),
    series: Object.entries(lines).map(([name, data], yAxisIndex) => ({
      type: 'line',
      name,
      data,
      yAxisIndex,
      showSymbol: false,
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}
