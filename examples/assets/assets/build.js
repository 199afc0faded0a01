// Writes public/ as a bundler would: a page, and a script with its hash in its name.
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const source = path.join(__dirname, 'src');
const target = path.join(__dirname, 'public');
fs.mkdirSync(path.join(target, 'assets'), { recursive: true });

const script = fs.readFileSync(path.join(source, 'main.js'), 'utf8');
const hash = crypto.createHash('sha256').update(script).digest('hex').slice(0, 8);
fs.writeFileSync(path.join(target, 'assets', `main-${hash}.js`), script);

const page = fs.readFileSync(path.join(source, 'index.html'), 'utf8');
fs.writeFileSync(
  path.join(target, 'index.html'),
  page.replace('main.js', `assets/main-${hash}.js`),
);
