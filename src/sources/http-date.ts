/**
 * Dates of HTTP header fields. Source: RFC 9110 section 5.6.7, all three forms.
 *
 * `Date.parse` accepts more than these forms. A date in another form is invalid, and RFC 9111 section 5.3 gives an
 * invalid `Expires` a special meaning.
 */

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const TIME = "(?<hour>\\d\\d):(?<minute>\\d\\d):(?<second>\\d\\d)";
const FORMS = [
  // Sun, 06 Nov 1994 08:49:37 GMT
  new RegExp(`^[a-z]{3}, (?<day>\\d\\d) (?<month>[a-z]{3}) (?<year>\\d{4}) ${TIME} GMT$`, "i"),
  // Sunday, 06-Nov-94 08:49:37 GMT
  new RegExp(`^[a-z]{6,9}, (?<day>\\d\\d)-(?<month>[a-z]{3})-(?<year>\\d\\d) ${TIME} GMT$`, "i"),
  // Sun Nov  6 08:49:37 1994
  new RegExp(`^[a-z]{3} (?<month>[a-z]{3}) (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})$`, "i"),
];

/**
 * Unix time in ms. `null` if `text` is not an HTTP date. `nowMs` is Unix time: it determines the century of a two-digit
 * year.
 */
export function parseHttpDate(text: string, nowMs: number): number | null {
  for (const form of FORMS) {
    const groups = form.exec(text)?.groups;
    if (groups === undefined) continue;
    const { day, month, year, hour, minute, second } = groups;
    const monthIndex = MONTHS.indexOf(month!.toLowerCase());
    const fullYear = year!.length === 2 ? fullYearOf(Number(year), nowMs) : Number(year);
    const date = new Date(0);
    date.setUTCFullYear(fullYear, monthIndex, Number(day));
    // A day outside of the month, or an unknown month, shifts the date.
    if (monthIndex < 0 || date.getUTCMonth() !== monthIndex || Number(hour) > 23 || Number(minute) > 59) return null;
    // Second 60 is a leap second.
    return Number(second) > 60 ? null : date.setUTCHours(Number(hour), Number(minute), Number(second));
  }
  return null;
}

/** A two-digit year that seems to be more than 50 years ahead belongs to the previous century. */
function fullYearOf(year: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const inThisCentury = Math.floor(thisYear / 100) * 100 + year;
  return inThisCentury > thisYear + 50 ? inThisCentury - 100 : inThisCentury;
}
