# SPDX-License-Identifier: Apache-2.0
"""Scripts that measure the page as it stands. Each returns what is wrong, as
a list of sentences: empty is good."""

# Colours as they are computed; a background that lets what is behind it shine
# through is laid over it, up to the root.
COLOURS = r"""
const parse = text => {
    if (!/^rgba?\([\d., ]+\)$/.test(text))
        throw new Error('a colour of an unknown form: ' + text);
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
};
const over = (top, under) => [0, 1, 2].map(
    i => top[i] * top[3] + under[i] * (1 - top[3])).concat([1]);
const canvas = () => matchMedia('(prefers-color-scheme: dark)').matches
    ? [18, 18, 18, 1] : [255, 255, 255, 1];
const behind = element => {
    if (!element) return canvas();
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
};
const light = colour => {
    const [r, g, b] = colour.slice(0, 3).map(v => v / 255).map(
        v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
};
const visible = element => element.checkVisibility({
    opacityProperty: true, visibilityProperty: true}) &&
    element.getClientRects().length > 0;
const name = element => element.tagName.toLowerCase() +
    (element.className && element.className.baseVal === undefined
        ? '.' + element.className : '') +
    ' "' + (element.textContent || '').trim().slice(0, 30) + '"';
"""

# WCAG 2.2, 1.4.3: 4.5, or 3 for large text; 1.4.11: 3 for what shows where a
# field or a button is. Text drawn in an SVG lies on what is drawn below it,
# which only an eye can tell.
CONTRAST = COLOURS + r"""
const wrong = [], seen = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !visible(e) || e.closest('svg'))
        continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    const back = behind(e);
    const is = contrast(over(parse(style.color), back), back);
    seen.push(is);
    if (is < (large ? 3 : 4.5))
        wrong.push(name(e) + ': contrast ' + is.toFixed(2));
}
for (const e of document.querySelectorAll('input, button')) {
    if (!visible(e)) continue;
    const style = getComputedStyle(e), around = behind(e.parentElement);
    const is = Math.max(
        contrast(over(parse(style.borderTopColor), around), around),
        contrast(behind(e), around));
    seen.push(is);
    if (is < 3)
        wrong.push(name(e) + '#' + e.id + ': its edge ' + is.toFixed(2));
}
if (seen.length < 5) wrong.push('only ' + seen.length + ' things to read');
return wrong;
"""

CIRCUMSTANCES = """return [innerWidth,
    matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'];"""

# How bright the page is behind everything: 0 to 1.
BRIGHTNESS = COLOURS + "return light(behind(document.body));"

# Every name an instance may have gets one of twelve colours.
HUES = COLOURS + r"""
const wrong = [], badge = document.querySelector('.badge');
const before = badge.className, seen = new Set();
for (let hue = 0; hue < 12; hue++) {
    badge.className = 'badge hue-' + hue;
    const style = getComputedStyle(badge), back = behind(badge);
    const is = contrast(over(parse(style.color), back), back);
    seen.add(style.backgroundColor);
    if (is < 4.5) wrong.push('hue ' + hue + ': contrast ' + is.toFixed(2));
}
badge.className = before;
if (seen.size !== 12) wrong.push('only ' + seen.size + ' colours of 12');
return wrong;
"""

# The outline of what has the focus.
FOCUS = COLOURS + r"""
const e = document.activeElement, style = getComputedStyle(e);
if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2)
    return [name(e) + ': the focus is not shown'];
const back = behind(e.parentElement);
const is = contrast(over(parse(style.outlineColor), back), back);
return is < 3 ? [name(e) + ': focus, contrast ' + is.toFixed(2)] : [];
"""

# Nothing lies beyond the right edge or the left one, scrolled to or not.
WIDTH = COLOURS + r"""
const root = document.documentElement, wrong = [];
if (root.scrollWidth > root.clientWidth)
    wrong.push('scrolls: ' + root.scrollWidth + ' > ' + root.clientWidth);
for (const e of document.querySelectorAll('body *')) {
    const box = e.getBoundingClientRect();
    if (!visible(e) || box.width === 0 || e.closest('svg svg, svg *'))
        continue;
    if (box.right > innerWidth + 0.5 || box.left < -0.5)
        wrong.push(name(e) + ': ' + box.left + ' to ' + box.right);
}
return wrong;
"""

# What a finger shall hit (WCAG 2.2, 2.5.8: 24; 2.5.5: 44 for the main ones),
# and a size of letters that a phone does not blow up when a field is entered.
FINGER = COLOURS + r"""
const wrong = [];
for (const e of document.querySelectorAll('input, button')) {
    if (!visible(e)) continue;
    const box = e.getBoundingClientRect();
    if (box.height < 44 || box.width < 44)
        wrong.push(name(e) + ': ' + box.width + ' x ' + box.height);
    if (parseFloat(getComputedStyle(e).fontSize) < 16)
        wrong.push(name(e) + ': letters of ' + getComputedStyle(e).fontSize);
}
for (const e of document.querySelectorAll('nav a, summary')) {
    const box = e.getBoundingClientRect();
    if (box.height < 20)
        wrong.push(name(e) + ': only ' + box.height + ' high');
}
return wrong;
"""

# What a screen reader, or a person in a hurry, goes by.
STRUCTURE = COLOURS + r"""
const wrong = [], all = css => [...document.querySelectorAll(css)];
for (const e of all('input:not([type=hidden])')) {
    const label = e.labels && e.labels[0];
    if (!label || !label.textContent.trim()) wrong.push(e.id + ': no label');
    else if (!visible(label)) wrong.push(e.id + ': its label is not seen');
}
for (const e of all('button, a[href]'))
    if (!e.textContent.trim() && !e.getAttribute('aria-label'))
        wrong.push(name(e) + ': has no name');
for (const e of all('img:not([alt]), svg:not([aria-hidden]):not([role=img])'))
    if (!e.parentElement.closest('svg')) wrong.push(name(e) + ': says nothing');
for (const e of all('svg[role=img]'))
    if (!e.getAttribute('aria-label') && !e.querySelector('title'))
        wrong.push(name(e) + ': an image without a name');
const ids = all('[id]').map(e => e.id);
for (const id of new Set(ids))
    if (ids.filter(other => other === id).length > 1)
        wrong.push('twice: #' + id);
const levels = all('h1, h2, h3, h4').map(e => +e.tagName[1]);
if (levels.filter(level => level === 1).length !== 1) wrong.push('not one h1');
levels.forEach((level, i) => {
    if (level > (i ? levels[i - 1] : 0) + 1) wrong.push('a heading is skipped');
});
if (document.documentElement.lang !== 'en') wrong.push('no language');
if (!document.title.trim()) wrong.push('no title');
if (all('main').length !== 1) wrong.push('not one main');
if (!document.querySelector('meta[name=viewport]')) wrong.push('no viewport');
if (document.compatMode !== 'CSS1Compat') wrong.push('quirks mode');
if (all('script').length) wrong.push('a script');
return wrong;
"""
