import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cache, collect, pythonWith, sourcesOf } from './programs.ts'
import { settingsStay } from './reasons.ts'
import { junit, type Suite } from './suite.ts'
import { longWays } from './ways.ts'

const version = '5.2.19'
const packages = [
  'psycopg[binary]==3.3.9',
  `Django==${version}`,
  'unittest-xml-reporting',
  'tblib',
  'Pillow',
  'PyYAML',
  'docutils',
  'tzdata',
  'jinja2',
  'argon2-cffi',
  'bcrypt',
]
/** Applications whose tests are about PostgreSQL, and about what differs from one database to another; the others use the ORM in the same ways. */
const apps = ['postgres_tests', 'backends', 'introspection', 'transactions', 'select_for_update']

export const django: Suite = {
  name: 'Django',
  version,
  part: `${apps.join(', ')}: what is about the database; over psycopg 3.3.9`,
  // Beside the one under test its runner wants one of this name; the gateway has one entry.
  database: 'postgres',
  setup: '',
  async prepare() {
    await sourcesOf('Django', version)
    await pythonWith('django', packages)
  },
  async run({ host, port, user, password, database }) {
    const cwd = join(await sourcesOf('Django', version), 'tests')
    const file = join(cache, `junit-${process.pid}.xml`)
    // One database, which is there: the gateway has no entry for those that the runner would make.
    const settings = `
place = {"ENGINE": "django.db.backends.postgresql", "HOST": "${host}", "PORT": "${port}", "USER": "${user}", "PASSWORD": "${password}",
         "NAME": "${database}", "TEST": {"NAME": "${database}"}}
DATABASES = {"default": place, "other": {**place, "TEST": {"MIRROR": "default"}}}
SECRET_KEY = "suite"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "xmlrunner.extra.djangotestrunner.XMLTestRunner"
TEST_OUTPUT_DIR = "${cache}"
TEST_OUTPUT_FILE_NAME = "junit-${process.pid}.xml"
`
    writeFileSync(join(cwd, 'suite_settings.py'), settings)
    const args = ['runtests.py', '--settings=suite_settings', '--keepdb', '--noinput', '--parallel=1', ...apps]
    const said = await collect(await pythonWith('django', []), args, { cwd, minutes: 60 })
    try {
      return junit(file)
    } catch (cause) {
      throw new Error(`Django wrote no results: ${said.slice(-1_500)}`, { cause })
    }
  },
  ways: longWays,
  differences: [[/test_unaccent_with_conforming_strings_off$/, settingsStay]],
}
