exports.exclaimed = (text) => `${text}!`;
