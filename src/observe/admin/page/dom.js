/** Elements of the page. All text is put in as text, so that no key, name or message can be markup. */

export const byId = (id) => document.getElementById(id);

/** An element with what it has: `class`, other attributes, children. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Sets the text only if it differs, so that a selection and a screen reader are not disturbed. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

export function setClass(target, name) {
  if (target.className !== name) target.className = name;
}
