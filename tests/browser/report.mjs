// Opens the report of the invented proof in headless Chromium, without a network, and looks at it as a reader would.
//
//   node report.mjs RENDER_FIXTURE PROOF NODE_MODULES [SCREENSHOT_FOLDER]
//
// Prints "skipped: <why>" where the browser or Playwright is missing; exits with 1 at the first check that fails.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [renderer, proof, modules, screenshots] = process.argv.slice(2);
const browserPath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
if (!browserPath) {
  console.log("skipped: there is no Chromium (apt-get install chromium)");
  process.exit(0);
}
if (!existsSync(join(modules, "playwright-core"))) {
  console.log(`skipped: there is no playwright-core in ${modules} (./run build fetches it)`);
  process.exit(0);
}
const { chromium } = createRequire(resolve(modules, "index.js"))("playwright-core");

const flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
               "--disable-component-update", "--disable-sync"];
const folder = mkdtempSync(join(tmpdir(), "caltrop-browser-"));
const page_file = join(folder, "report.html");
const problems = [];  // console errors, exceptions, requests: there must be none

async function open(context, size, scheme) {
  const page = await context.newPage();
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme: scheme });
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  await page.route("**/*", (route) => {
    const url = route.request().url();
    if (url === pathToFileURL(page_file).href) return route.continue();
    problems.push("request of " + url);
    return route.abort();
  });
  await page.goto(pathToFileURL(page_file).href);
  return page;
}

/// How many colours a canvas holds, the transparent ground left out: curves, grid and letters make many.
const inkOf = (page) => page.$$eval(".plot canvas", (canvases) => canvases.map((canvas) => {
  // Read from a copy: Chromium warns on the console about a canvas that is read often and was not made for it.
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const bytes = copy.getImageData(0, 0, canvas.width, canvas.height).data;
  const colors = new Set();
  for (let i = 0; i < bytes.length; i += 4) if (bytes[i + 3] > 0) colors.add((bytes[i] << 16) | (bytes[i + 1] << 8) | bytes[i + 2]);
  return colors.size;
}));

const checks = {
  async "the verdict is in sight"(page) {
    const top = await page.locator("table.verdict").boundingBox();
    assert.ok(top.y < 900, `the table starts at ${top.y} px`);
    const words = await page.locator("table.verdict").innerText();
    for (const word of ["undefended", "sdd", "ctrap", "usable harm", "collapsed", "resisted", "66 % → 64 %"]) {
      assert.ok(words.includes(word), `no '${word}' in the table`);
    }
    assert.equal(await page.locator("table.verdict .badge .icon").count(), 6);
    assert.match(await page.locator(".headlines").innerText(), /The trap did not hold/);
    assert.match(await page.locator("#failed").innerText(), /ctrap\/harmful\/seed-1[^]*lm_head\.weight is not finite/);
  },
  async "curves are drawn"(page) {
    const ink = await inkOf(page);
    assert.equal(ink.length, 12, "two defended models, six panels each");
    for (const colors of ink) assert.ok(colors > 10, `a canvas holds ${colors} colours`);
  },
  async "the pointer reads values off a curve"(page) {
    const plot = page.locator(".plot").first();
    await plot.scrollIntoViewIfNeeded();
    await plot.hover();
    const reading = await plot.locator(".reading").innerText();
    assert.match(reading, /^step \d+\nundefended, harmful: \d+ %/);
  },
  async "hostile answers are text"(page) {
    assert.match(await page.title(), /^Invented example/);
    assert.equal(await page.locator("main img, main iframe, blockquote b, blockquote script").count(), 0);
    assert.equal(await page.locator("script").count(), 2, "the data and our own");
    const said = (await page.locator("blockquote").allInnerTexts()).join("\n");
    for (const text of ["</script><script>document.title = 'owned'</script><img src=x", "\\x00", "\\x1b[31mred", "\\u202egnisrever", "\\u2066",
                        "\\ufeff", "\\u200b", "\\xad", "\\u{e0041}", "<b>bold</b>"]) {
      assert.ok(said.includes(text), `the answers do not show ${text}`);
    }
    assert.ok(!/[\u0000-\u0008\u000b-\u001f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/.test(said), "an invisible mark came through");
  },
  async "an injected script does not run"(page) {
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.owned = true";
      document.body.appendChild(script);
    });
    assert.equal(await page.evaluate(() => window.owned), undefined);
    assert.match(problems.pop() ?? "", /Content Security Policy/);
  },
};

async function phoneChecks(page) {
  const width = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.equal(width[0], width[1], `the page is ${width[0]} px wide on a phone of ${width[1]} px`);
  const canvases = await page.$$eval(".plot canvas", (all) => all.map((canvas) => canvas.getBoundingClientRect().width));
  for (const canvas of canvases) assert.ok(canvas > 250 && canvas <= 390, `a plot is ${canvas} px wide`);
}

/// Brightness of the ground and of the text, 0 to 255.
const brightness = (page) => page.evaluate(() => {
  const sum = (css) => css.match(/\d+/g).slice(0, 3).reduce((total, part) => total + Number(part), 0) / 3;
  const style = getComputedStyle(document.body);
  return [sum(style.backgroundColor), sum(style.color)];
});

async function main() {
  execFileSync(renderer, [proof, page_file], { stdio: "inherit" });
  const html = readFileSync(page_file, "utf8");
  assert.ok(!/(?:src|href)="(?!#)/.test(html), "the page refers to something outside itself");
  const context = await chromium.launchPersistentContext(join(folder, "profile"),
                                                         { executablePath: browserPath, headless: true, args: flags });
  try {
    const desktop = await open(context, { width: 1280, height: 900 }, "light");
    if (screenshots) await desktop.screenshot({ path: join(screenshots, "desktop.png"), fullPage: true });
    for (const [name, check] of Object.entries(checks)) {
      await check(desktop);
      console.log("ok  " + name);
    }

    const light = await brightness(desktop);
    await desktop.$$eval(".plot canvas", (canvases) => canvases.forEach((canvas) => { canvas.dataset.scheme = "light"; }));
    await desktop.emulateMedia({ colorScheme: "dark" });
    await desktop.waitForFunction(() => !document.querySelector(".plot canvas[data-scheme=light]"));  // drawn anew, in the new colours
    const dark = await brightness(desktop);
    assert.ok(light[0] > 200 && light[1] < 80, `light: ground ${light[0]}, text ${light[1]}`);
    assert.ok(dark[0] < 80 && dark[1] > 200, `dark: ground ${dark[0]}, text ${dark[1]}`);
    for (const colors of await inkOf(desktop)) assert.ok(colors > 10, "a canvas is blank after the change of scheme");
    if (screenshots) await desktop.screenshot({ path: join(screenshots, "dark.png"), fullPage: true });
    console.log("ok  dark and light follow the reader");

    const phone = await open(context, { width: 390, height: 844 }, "light");
    await phoneChecks(phone);
    if (screenshots) await phone.screenshot({ path: join(screenshots, "phone.png"), fullPage: true });
    await phone.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
    await phoneChecks(phone);
    console.log("ok  a phone needs no sideways scrolling");

    assert.deepEqual(problems, [], "console messages, exceptions or requests");
    console.log("ok  no console errors, no requests");
  } finally {
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
