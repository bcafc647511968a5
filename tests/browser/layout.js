// Returns what is wrong with the layout of a page: it is wider than the window, a heading leaves its
// column, or a text of a plot is cut, lies on another text, or is too faint.
(() => {
  "use strict";
  const LEAST = 4.5; // contrast of a text
  const SLACK = 2; // pixels that the boxes of two texts may share: a box is taller than its letters
  const faults = [];

  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, two) => {
    const [low, high] = [light(one), light(two)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const over = (upper, alpha, lower) => upper.slice(0, 3).map((v, n) => alpha * v + (1 - alpha) * lower[n]);

  const page = channels(getComputedStyle(document.body).backgroundColor);
  const behind = (text, box) => {
    const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    for (const cell of text.closest("svg.plot").querySelectorAll(".cell")) {
      const at = cell.getBoundingClientRect();
      if (at.left <= x && x <= at.right && at.top <= y && y <= at.bottom) {
        const style = getComputedStyle(cell);
        return over(channels(style.fill), Number(style.fillOpacity), page);
      }
    }
    return page;
  };

  if (document.documentElement.scrollWidth > innerWidth)
    faults.push(`the page is ${document.documentElement.scrollWidth} wide, the window ${innerWidth}`);
  for (const heading of document.querySelectorAll("thead th:not(.name)")) {
    const words = document.createRange();
    words.selectNodeContents(heading);
    const [inner, cell] = [words.getBoundingClientRect(), heading.getBoundingClientRect()];
    if (inner.left < cell.left - 1 || inner.right > cell.right + 1)
      faults.push(`the heading ${JSON.stringify(heading.textContent)} leaves its column`);
  }
  for (const plot of document.querySelectorAll("svg.plot")) {
    const texts = [...plot.querySelectorAll("text")]
      .map((text) => [text, text.getBoundingClientRect()])
      .filter(([, box]) => box.width > 0);
    texts.forEach(([text, box], number) => {
      const words = JSON.stringify(text.textContent);
      const fill = channels(getComputedStyle(text).fill);
      const ratio = contrast(fill, behind(text, box));
      if (ratio < LEAST) faults.push(`${words} has a contrast of ${ratio.toFixed(2)}`);
      if (box.left < 0 || box.right > innerWidth) faults.push(`${words} is cut by the window`);
      for (const [other, at] of texts.slice(number + 1)) {
        const wide = Math.min(box.right, at.right) - Math.max(box.left, at.left);
        const high = Math.min(box.bottom, at.bottom) - Math.max(box.top, at.top);
        if (wide > SLACK && high > SLACK)
          faults.push(`${words} lies on ${JSON.stringify(other.textContent)}`);
      }
    });
  }
  return faults;
})()
