// Two charts over the same steps of time, drawn for the width that they have.

const FEW = 5;
const SVG = "http://www.w3.org/2000/svg";

function draw(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** A round number that is not below `top`, and where lines are drawn up to it. */
function scale(top) {
  const power = 10 ** Math.floor(Math.log10(Math.max(top, 1)));
  const max = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= Math.max(top, 2));
  const parts = [4, 3, 5, 2].find((parts) => Number.isInteger(max / parts)) ?? 1;
  return { max, lines: Array.from({ length: parts + 1 }, (_, line) => (max * line) / parts) };
}

/** What both charts share: the frame, the days below, and the step that is looked at. */
class Chart {
  constructor(box, label, height, select) {
    Object.assign(this, { box, label, height, select, steps: null });
    this.svg = draw("svg", { role: "img", tabindex: "0" });
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerdown", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => select(null));
    this.svg.addEventListener("blur", () => select(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.redraw()).observe(box);
  }

  show(steps) {
    this.steps = steps;
    this.box.replaceChildren(this.svg);
    this.redraw();
  }

  /** A sentence in the chart's place. */
  say(text) {
    this.steps = null;
    this.box.replaceChildren(make("p", { class: "empty" }, text));
  }

  redraw() {
    const width = Math.floor(this.box.clientWidth);
    if (!this.steps || width < 50) return;
    Object.assign(this, { width, left: 54, right: width, top: 8, bottom: this.height - 24 });
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.setAttribute("height", this.height);
    this.mark = draw("rect", { class: "mark", y: 0, height: this.bottom, width: 0 });
    this.svg.replaceChildren(draw("title", {}, this.label(this.steps)), this.mark);
    this.days();
    this.plot();
    this.look(this.looked ?? null);
  }

  x(step) {
    return this.left + ((this.right - this.left) * step) / this.steps.length;
  }

  /** Where a step's own marks begin, and how wide they are. */
  slot(step) {
    const from = Math.round(this.x(step));
    const to = Math.round(this.x(step + 1));
    return [from, Math.max(1, to - from - (to - from > 8 ? 2 : 1))];
  }

  add(tag, attributes, text) {
    this.svg.append(draw(tag, attributes, text));
  }

  rule(y, text, kind) {
    this.add("line", { class: kind ?? "grid", x1: this.left, x2: this.right, y1: Math.round(y), y2: Math.round(y) });
    this.add("text", { x: this.left - 8, y: y + 4, "text-anchor": "end" }, text);
  }

  /** The days below, or the hours where there are few; as many as have room. */
  days() {
    const { steps } = this;
    const isLong = steps.length * steps.hours > 48;
    const name = isLong ? day : clock;
    const hour = (step) => Number(time(steps.starts(step), { hour: "numeric", hourCycle: "h23" }));
    let begins = steps.map((_, step) => step).filter((step) => {
      if (!isLong) return hour(step) % 6 === 0;
      return step > 0 && day(steps.starts(step)) !== day(steps.starts(step - 1));
    });
    const every = Math.ceil((begins.length * 64) / (this.right - this.left));
    begins = begins.filter((_, place) => place % every === 0);
    for (const step of begins) {
      const x = this.x(step);
      if (x > this.right - 44) continue;
      this.add("line", { class: "grid", x1: Math.round(x), x2: Math.round(x), y1: this.bottom, y2: this.bottom + 5 });
      this.add("text", { x: x + 4, y: this.height - 6 }, name(steps.starts(step)));
    }
  }

  point(event) {
    const { left, width } = this.svg.getBoundingClientRect();
    const x = ((event.clientX - left) * this.width) / width;
    const step = Math.floor(((x - this.left) * this.steps.length) / (this.right - this.left));
    this.select(step >= 0 && step < this.steps.length ? step : null);
  }

  key(event) {
    const last = this.steps.length - 1;
    const from = this.looked ?? null;
    const to = {
      ArrowLeft: from === null ? last : Math.max(0, from - 1),
      ArrowRight: from === null ? 0 : Math.min(last, from + 1),
      Home: 0,
      End: last,
      Escape: null,
    };
    if (!(event.key in to)) return;
    event.preventDefault();
    this.select(to[event.key]);
  }

  look(step) {
    this.looked = step;
    if (!this.mark) return;
    this.mark.setAttribute("x", step === null ? 0 : this.x(step));
    this.mark.setAttribute("width", step === null ? 0 : Math.max(2, this.x(step + 1) - this.x(step)));
  }
}

/** Calls in each step, one kind upon the other. */
class Bars extends Chart {
  plot() {
    const { max, lines } = scale(Math.max(...this.steps.map((step) => step.calls)));
    const y = (calls) => this.bottom - ((this.bottom - this.top) * calls) / max;
    for (const line of lines) this.rule(y(line), count(line), line === 0 ? "base" : "grid");
    this.steps.forEach((step, place) => {
      const [x, width] = this.slot(place);
      let floor = this.bottom;
      for (const kind of ["answered", "cancelled", "wrong"]) {
        if (!step[kind]) continue;
        // One among thousands is seen, too.
        const height = Math.max(2, Math.round(this.bottom - y(step[kind])));
        floor -= height;
        this.add("rect", { class: `bar ${kind}`, x, width, y: Math.max(0, floor), height });
      }
    });
  }
}

/** How long calls took in each step: a mark where half were done, one where all but the slowest were, and what is
 * between. */
class Ranges extends Chart {
  plot() {
    const known = this.steps.filter((step) => step.p50 !== null);
    const power = (ms) => Math.log10(Math.max(ms, 0.1));
    const low = Math.floor(Math.min(...known.map((step) => power(step.p50))));
    const high = Math.max(Math.ceil(Math.max(...known.map((step) => power(step.p95)))), low + 1);
    const y = (ms) => Math.round(this.bottom - ((this.bottom - this.top) * (power(ms) - low)) / (high - low));
    for (let ten = low; ten <= high; ten += 1) this.rule(y(10 ** ten), millis(10 ** ten), ten === low ? "base" : "grid");
    this.steps.forEach((step, place) => {
      if (step.p50 === null) return;
      const [x, width] = this.slot(place);
      // What a few calls say is said more softly.
      const few = step.calls < FEW ? " few" : "";
      this.add("rect", { class: `band${few}`, x, width, y: y(step.p95), height: y(step.p50) - y(step.p95) });
      this.add("rect", { class: `bar slow${few}`, x, width, y: y(step.p95) - 1, height: 2 });
      this.add("rect", { class: `bar answered${few}`, x, width, y: y(step.p50) - 1, height: 2 });
    });
  }
}
