export interface NewPerson {
  readonly name: string
  readonly city: string
  readonly email: string
}

const firstNames =
  'Aoife Bran Cara Declan Eimear Fionn Grainne Hugh Ita Jarlath Kiera Lorcan Maeve Niall Orla Padraig Roisin Sean Tara Una'.split(
    ' ',
  )
const lastNames =
  'Ahern Breen Casey Daly Egan Foley Geary Hayes Joyce Keane Lacey Moran Nolan Power Quirke Regan Shea Tobin Walsh Whelan'.split(
    ' ',
  )
const cities = 'Athlone Bantry Clifden Dingle Ennis Galway Kinsale Listowel Sligo Tralee'.split(' ')
const hosts = ['example.com', 'example.net', 'example.org']

/** Made-up people, the same ones every time; person 1 is at index 0. No two share an address. */
export function makePeople(count: number): readonly NewPerson[] {
  return Array.from({ length: count }, (_, index) => {
    // Steps that share no divisor with the lengths: neighbours differ, and a pair of names returns after 400 people only.
    const first = pick(firstNames, index * 7)
    const last = pick(lastNames, index * 3 + Math.floor(index / 20))
    const email = `${first}.${last}${index < 400 ? '' : index}@${pick(hosts, index)}`.toLowerCase()
    return { name: `${first} ${last}`, city: pick(cities, index * 3), email }
  })
}

function pick(from: readonly string[], index: number): string {
  return from[index % from.length] ?? ''
}
