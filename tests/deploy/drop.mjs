// Drives a classifier's page in Chromium: node drop.mjs PAGE.html [--model FILE.onnx] [--shot FILE.png] PICTURE...
// Prints {"answers": {name: {"label", "probabilities"}}, "errors": [...], "requests": [...], "sideways": pixels}.
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { createRequire } from "node:module";

const modules = process.env.ONCEOVER_NODE_MODULES;
const puppeteer = createRequire(`${modules}/`)("puppeteer-core");
const words = process.argv.slice(2);
const option = (name) => {
  const place = words.indexOf(name);
  return place < 0 ? null : words.splice(place, 2)[1];
};
const model = option("--model"), shot = option("--shot"), width = Number(option("--width") ?? 800);
const theme = option("--theme") ?? "light";
const [page, ...pictures] = words;
const address = page.startsWith("http") ? page : pathToFileURL(resolve(page)).href;

const browser = await puppeteer.launch({
  executablePath: process.env.ONCEOVER_CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu"],
});
try {
  const tab = await browser.newPage();
  await tab.setViewport({ width, height: 900, deviceScaleFactor: 1 });
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
  const errors = [], requests = [];
  tab.on("console", (message) => ["error", "warn"].includes(message.type()) && errors.push(message.text()));
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("request", (request) => {
    const url = request.url();
    if (url !== address && !url.startsWith("data:") && !url.startsWith("blob:")) requests.push(url);
  });
  await tab.goto(address);
  if (model) {
    await tab.waitForSelector("#ask:not([hidden]) input", { timeout: 60000 });
    await (await tab.$("#ask input")).uploadFile(model);
  }
  const input = await tab.waitForSelector("#drop:not([hidden]) input", { timeout: 120000 });
  await input.uploadFile(...pictures);
  await tab.waitForFunction(
    (count) => document.querySelectorAll("#answers li").length === count
      && [...document.querySelectorAll("#answers li")].every((item) => item.dataset.label || item.textContent.includes("cannot be read")),
    { timeout: 120000 }, pictures.length,
  );
  const answers = await tab.evaluate(() => Object.fromEntries(
    [...document.querySelectorAll("#answers li")].map((item) => [
      item.querySelector(".path").textContent,
      { label: item.dataset.label, probabilities: JSON.parse(item.dataset.probabilities ?? "null") },
    ]),
  ));
  const sideways = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (shot) await tab.screenshot({ path: shot, fullPage: true });
  console.log(JSON.stringify({ answers, errors, requests, sideways }));
} finally {
  await browser.close();
}
