const { exclaimed } = require('punctuation');

exports.greet = (name) => exclaimed(`Hello, ${name}`);
