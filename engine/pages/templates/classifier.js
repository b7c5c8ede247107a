"use strict";
const place = (id) => document.getElementById(id);
const classes = JSON.parse(place("classes").textContent);
const { height, width, interpolation, crop, model } = JSON.parse(place("settings").textContent);

// Bytes that are in the page as base64 of gzip.
async function unpacked(id) {
  const text = place(id).textContent.trim();
  const packed = await fetch(`data:application/octet-stream;base64,${text}`);
  const stream = packed.body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function runtime() {
  const script = new Blob([await unpacked("runtime-script")], { type: "text/javascript" });
  const address = URL.createObjectURL(script);
  const ort = await import(address);
  URL.revokeObjectURL(address);
  ort.env.wasm.numThreads = 1; // more need headers that a page from a file has not
  ort.env.wasm.wasmBinary = await unpacked("runtime-wasm");
  return ort;
}

// The filters of Pillow, widened by the scale. Bilinear sums whole numbers of 15 bits, columns first,
// as the resizer of `predict` does; the others of 22 bits, rows first, as Pillow does.
const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const FILTERS = {
  bilinear: { support: 1, bits: 15, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    at: (x) => {
      x = Math.abs(x);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
    },
  },
  lanczos: { support: 3, at: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

// For each new place the first old one, and the weights of it and the next, whole numbers of `bits`.
// Of `from` old places the part from `begin` to `end` becomes `to` new ones.
function taps(from, to, [begin, end], filter) {
  const scale = (end - begin) / to, wide = Math.max(scale, 1), all = [];
  let greatest = 0;
  for (let n = 0; n < to; n++) {
    const centre = begin + (n + 0.5) * scale;
    if (!filter) {
      all.push({ start: Math.min(from - 1, Math.floor(centre)), weights: [1] });
      continue;
    }
    const first = Math.max(0, Math.floor(centre - filter.support * wide + 0.5));
    const last = Math.min(from, Math.floor(centre + filter.support * wide + 0.5));
    const weights = [];
    for (let x = first; x < last; x++) weights.push(filter.at((x - centre + 0.5) / wide));
    const sum = weights.reduce((a, b) => a + b, 0);
    all.push({ start: first, weights: weights.map((weight) => weight / sum) });
    greatest = Math.max(greatest, ...all[n].weights);
  }
  let bits = filter ? 22 : 0;
  if (filter?.bits) for (bits = 0; bits < 22 && Math.round(greatest * 2 ** (bits + 1)) < 2 ** filter.bits; ) bits++;
  for (const tap of all) tap.weights = tap.weights.map((weight) => Math.round(weight * 2 ** bits));
  return { all, bits };
}

// RGBA -> RGBA of as many columns, or of as many rows: the part of it that is wanted.
function along(direction, { data, width, height }, to, part, filter) {
  const columns = direction === "columns";
  const { all, bits } = taps(columns ? height : width, to, part, filter);
  const half = bits ? 2 ** (bits - 1) : 0;
  const size = columns ? { width, height: to } : { width: to, height };
  const result = new Uint8ClampedArray(size.width * size.height * 4);
  const step = columns ? width * 4 : 4;
  for (let y = 0, o = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const { start, weights } = all[columns ? y : x];
      const first = columns ? (start * width + x) * 4 : (y * width + start) * 4;
      for (let c = 0; c < 4; c++, o++) {
        let sum = half;
        for (let k = 0, i = first + c; k < weights.length; k++, i += step) sum += weights[k] * data[i];
        result[o] = sum >> bits;
      }
    }
  }
  return { data: result, ...size };
}

// What a picture would be resized to, all of it; the middle of that is taken (engine.images.framing).
function whole(picture) {
  if (crop === "squash") return { height, width };
  const size = { height: Math.floor(height / 0.875), width: Math.floor(width / 0.875) };
  const [exact, other] = size.height * picture.width >= size.width * picture.height ? ["height", "width"] : ["width", "height"];
  const least = { height, width }[other];
  return { ...size, [other]: Math.max(Math.floor((size[exact] * picture[other]) / picture[exact]), least) };
}

// image: as it is held, maybe reduced. picture: its size before that.
function resized(image, picture) {
  const all = whole(picture), filter = FILTERS[interpolation];
  const part = (side, cut) => {
    const before = (all[side] - cut) / 2, scale = image[side] / all[side];
    const start = before % 1 === 0.5 ? 2 * Math.round(before / 2) : Math.round(before); // halves to even
    return [start * scale, Math.min((start + cut) * scale, image[side])];
  };
  const down = part("height", height), across = part("width", width);
  if (interpolation === "bilinear") return along("rows", along("columns", image, height, down, filter), width, across, filter);
  return along("columns", along("rows", image, width, across, filter), height, down, filter);
}

// A photograph of many pixels is decoded at a half, quarter or eighth by `predict`: the mean of as many here.
function reduced(image) {
  const all = whole(image);
  const room = Math.min(Math.floor(image.width / (2 * all.width)), Math.floor(image.height / (2 * all.height)));
  const by = [8, 4, 2].find((factor) => room >= factor);
  if (!by) return image;
  const size = { width: Math.ceil(image.width / by), height: Math.ceil(image.height / by) };
  const data = new Uint8ClampedArray(size.width * size.height * 4);
  for (let y = 0, o = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const right = Math.min(image.width, (x + 1) * by), below = Math.min(image.height, (y + 1) * by);
      const sums = [0, 0, 0, 0];
      for (let v = y * by; v < below; v++) {
        for (let u = x * by, i = (v * image.width + u) * 4; u < right; u++) {
          for (let c = 0; c < 4; c++, i++) sums[c] += image.data[i];
        }
      }
      for (let c = 0; c < 4; c++, o++) data[o] = sums[c] / ((right - x * by) * (below - y * by));
    }
  }
  return { data, ...size };
}

// A file's pixels, turned as its camera says, no colour profile applied, what is transparent white.
async function pixelsOf(file) {
  const bitmap = await createImageBitmap(file, {
    imageOrientation: "from-image", colorSpaceConversion: "none",
  });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const picture = { data, width: bitmap.width, height: bitmap.height };
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const jpeg = start[0] === 0xff && start[1] === 0xd8;
  const small = resized(jpeg ? reduced(picture) : picture, picture).data, pixels = new Uint8Array(height * width * 3);
  for (let i = 0, o = 0; o < pixels.length; i += 4) {
    for (let c = 0; c < 3; c++) pixels[o++] = small[i + c];
  }
  return pixels;
}

let ort, session;

async function load(bytes) {
  session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  say("");
  place("ask").hidden = true;
  place("drop").hidden = false;
}

async function classify(file) {
  const images = new ort.Tensor("uint8", await pixelsOf(file), [1, height, width, 3]);
  return (await session.run({ images })).probabilities.data;
}

function say(text) {
  place("status").textContent = text;
}

function line(probability, name) {
  const item = document.createElement("div");
  item.className = "answer";
  const [label, share, bar] = ["span", "span", "i"].map((tag) => document.createElement(tag));
  label.textContent = name;
  share.textContent = `${(probability * 100).toFixed(2)} %`;
  bar.style.width = `${probability * 100}%`;
  item.append(label, share, bar);
  return item;
}

async function show(file) {
  const item = document.createElement("li"), text = document.createElement("div");
  const picture = document.createElement("img"), name = document.createElement("span");
  picture.src = URL.createObjectURL(file);
  picture.alt = "";
  picture.onload = picture.onerror = () => URL.revokeObjectURL(picture.src);
  name.className = "path";
  name.textContent = file.name;
  text.append(name);
  item.append(picture, text);
  place("answers").prepend(item);
  try {
    const probabilities = await classify(file);
    const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
    item.dataset.label = classes[order[0]];
    item.dataset.probabilities = JSON.stringify([...probabilities]);
    for (const n of order.slice(0, 5)) text.append(line(probabilities[n], classes[n]));
  } catch (error) {
    text.append(`cannot be read: ${error.message}`);
  }
}

async function take(files) {
  for (const file of files) {
    if (session) await show(file);
    else if (ort && file.name.endsWith(".onnx")) {
      say("loading the model ...");
      await load(new Uint8Array(await file.arrayBuffer())).catch((error) => say(`${file.name} is not the model: ${error.message}`));
    }
  }
}

for (const input of document.querySelectorAll("input")) {
  input.addEventListener("change", () => { take([...input.files]); input.value = ""; });
}
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => { event.preventDefault(); take([...event.dataTransfer.files]); });
document.addEventListener("paste", (event) => take([...event.clipboardData.files]));

async function begin() {
  ort = await runtime();
  if (model.inside) return load(await unpacked("model"));
  if (location.protocol !== "file:") {
    const answer = await fetch(encodeURIComponent(model.name));
    if (answer.ok) return load(new Uint8Array(await answer.arrayBuffer()));
  }
  say("");
  place("ask").hidden = false;
}
begin().catch((error) => say(`This browser cannot run the classifier: ${error.message}`));
