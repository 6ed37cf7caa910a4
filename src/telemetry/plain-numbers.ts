/** A typed array as a plain array for JSON. `Array.from` takes fifteen times as long (Node 24). */
export function plainNumbers(numbers: Float64Array): number[] {
  const plain = new Array<number>(numbers.length);
  for (let i = 0; i < numbers.length; i++) plain[i] = numbers[i]!;
  return plain;
}
