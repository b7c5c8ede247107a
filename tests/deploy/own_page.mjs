// Drives the page of docs/deploy.md in Chromium: node own_page.mjs URL PICTURE. Prints its answer.
import { createRequire } from "node:module";

const puppeteer = createRequire(`${process.env.ONCEOVER_NODE_MODULES}/`)("puppeteer-core");
const [address, picture] = process.argv.slice(2);
const browser = await puppeteer.launch({
  executablePath: process.env.ONCEOVER_CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu"],
});
try {
  const tab = await browser.newPage();
  await tab.goto(address);
  await tab.waitForFunction(() => document.querySelector("input").onchange, { timeout: 60000 });
  await (await tab.$("input")).uploadFile(picture);
  await tab.waitForFunction(() => document.querySelector("pre").textContent, { timeout: 60000 });
  console.log(await tab.evaluate(() => document.querySelector("pre").textContent));
} finally {
  await browser.close();
}
