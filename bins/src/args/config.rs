//! The configuration file: a TOML file whose keys are the names of the flags. A flag comes before the environment, and that before the
//! file.
//!
//! What the file says is given to the parser of the command line as if it had been said there, so that one set of checks holds for
//! all three.

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Parser};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use toml::{Spanned, Value};

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The flag that names the file.
const CONFIG: &str = "--config";
/// Its variable.
const CONFIG_ENV: &str = "WEIR_CONFIG";
/// The id of the flag that prints.
const PRINT: &str = "print_config";
/// What a password is shown as.
const HIDDEN: &str = "(not shown)";

/// What a program was started with; or the code to exit with, when that makes no sense, or all that was wanted has been said.
///
/// # Errors
/// The code: 0 when help, the version or the configuration were asked for, 2 for wrong usage.
pub fn parse<P: Parser>() -> Result<P, ExitCode> {
    let variable = |name: &str| std::env::var_os(name);
    match read::<P>(std::env::args_os().collect(), &variable) {
        Ok(Wanted::Run(parsed, _)) => Ok(*parsed),
        Ok(Wanted::Print(text)) => {
            print(&text);
            Err(ExitCode::SUCCESS)
        }
        Err(Refused::Usage(error)) => error.exit(),
        Err(refused) => {
            super::say_error(&refused);
            Err(ExitCode::from(2))
        }
    }
}

#[expect(clippy::print_stdout, reason = "what the user runs the command to read")]
fn print(text: &str) {
    print!("{text}");
}

#[derive(Debug)]
enum Wanted<P> {
    Run(Box<P>, Values),
    Print(String),
}

/// What holds, by the names of the options, to see what has changed. Never shown.
type Values = BTreeMap<String, Vec<OsString>>;

/// The options of a program that runs, which reads them again when it is told to.
pub struct Reread<A> {
    read: Box<dyn Fn() -> Result<(A, Values), String> + Send>,
    /// Those that hold.
    held: Values,
}

/// What reading them again has brought.
#[derive(Debug)]
pub struct Changes<A> {
    /// All options as they are now.
    pub options: A,
    /// Names of those that changed, and hold from now on.
    pub taken: Vec<String>,
    /// Names of those that changed, and hold when the program starts again.
    pub waiting: Vec<String>,
}

impl<A> Reread<A> {
    /// Of a program whose options are `A`, or hold them: then `pick` finds them. What holds is what can be read now.
    pub fn new<P: Parser>(pick: impl Fn(P) -> Option<A> + Send + 'static) -> Self {
        let read = move || {
            let variable = |name: &str| std::env::var_os(name);
            match read::<P>(std::env::args_os().collect(), &variable) {
                Ok(Wanted::Run(parsed, values)) => match pick(*parsed) {
                    Some(options) => Ok((options, values)),
                    None => Err("these are the options of another command".to_owned()),
                },
                Ok(Wanted::Print(_)) => Err("they are only to be printed".to_owned()),
                Err(refused) => Err(refused.to_string()),
            }
        };
        let held = read().map(|(_, values)| values).unwrap_or_default();
        Self { read: Box::new(read), held }
    }

    /// Reads them again. Those of `live` hold from now on, the others when the program starts again.
    ///
    /// # Errors
    /// What makes no sense, with its file and line. Nothing has changed then.
    pub fn again(&mut self, live: &[&str]) -> Result<Changes<A>, String> {
        let (options, values) = (self.read)()?;
        let names: std::collections::BTreeSet<&String> = values.keys().chain(self.held.keys()).collect();
        let changed = names.into_iter().filter(|name| values.get(*name) != self.held.get(*name)).cloned();
        let (taken, waiting): (Vec<_>, Vec<_>) = changed.partition(|name| live.contains(&name.as_str()));
        for name in &taken {
            match values.get(name) {
                Some(value) => _ = self.held.insert(name.clone(), value.clone()),
                None => _ = self.held.remove(name),
            }
        }
        Ok(Changes { options, taken, waiting })
    }
}

/// Why what a program was started with makes no sense.
#[derive(Debug)]
enum Refused {
    /// As the parser of the command line says.
    Usage(clap::Error),
    /// The file, with its name and, where there is one, the line.
    File(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => write!(f, "{error}"),
            Self::File(why) => f.write_str(why),
        }
    }
}

/// Something that the file says.
struct Said {
    line: usize,
    value: Value,
}

fn read<P: Parser>(argv: Vec<OsString>, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Wanted<P>, Refused> {
    let command = P::command();
    // The options may be those of a command below.
    let below = argv.get(1).and_then(|word| command.find_subcommand(word)).cloned();
    let (options, words) = below.as_ref().map_or((&command, 1), |below| (below, 2));
    // A command without the option has no file, whatever the environment says to others.
    let takes_a_file = options.get_arguments().any(|arg| CONFIG.strip_prefix("--") == arg.get_long());
    // Whoever asks for help may do so because of the file.
    let takes_a_file = takes_a_file && !argv.iter().skip(1).any(is_question);
    let Some(path) = named(&argv).or_else(|| variable(CONFIG_ENV).map(PathBuf::from)).filter(|_| takes_a_file) else {
        return finish(command.clone().try_get_matches_from(argv), below.as_ref());
    };
    let file = load(&path)?;
    let mut added = Vec::new();
    let mut from_above: Vec<_> = file.iter().collect();
    from_above.sort_by_key(|(_, said)| said.line);
    for (key, said) in from_above {
        let arg = find(options, key).ok_or_else(|| unknown(&path, key, said, options))?;
        let flag = format!("--{key}");
        let is_flag = |word: &&OsString| word.to_str().is_some_and(|word| word.split('=').next() == Some(&flag));
        let is_said =
            argv.iter().any(|word| is_flag(&word)) || arg.get_env().and_then(|env| variable(env.to_str()?)).is_some();
        if !is_said {
            added.extend(words_of(arg, &flag, &said.value).map_err(|why| at(&path, said, &format!("{key}: {why}")))?);
        }
    }
    let (program, rest) = argv.split_at(words.min(argv.len()));
    let argv = program.iter().cloned().chain(added.into_iter().map(OsString::from)).chain(rest.iter().cloned());
    let matches = command.clone().try_get_matches_from(argv).map_err(|error| blame(&path, &file, error));
    match matches {
        Ok(matches) => finish(Ok(matches), below.as_ref()),
        Err(refused) => Err(refused),
    }
}

fn finish<P: Parser>(matches: Result<ArgMatches, clap::Error>, below: Option<&Command>) -> Result<Wanted<P>, Refused> {
    let matches = matches.map_err(Refused::Usage)?;
    let own = P::command();
    let (options, of_options) = match (below, matches.subcommand()) {
        (Some(below), Some((_, matches))) => (below, matches),
        _ => (&own, &matches),
    };
    if matches!(of_options.try_get_one::<bool>(PRINT), Ok(Some(true))) {
        return Ok(Wanted::Print(printed(options, of_options)));
    }
    let values = values(options, of_options);
    P::from_arg_matches(&matches).map(|parsed| Wanted::Run(Box::new(parsed), values)).map_err(Refused::Usage)
}

fn is_question(word: &OsString) -> bool {
    matches!(word.to_str(), Some("--help" | "-h" | "--version" | "-V"))
}

/// The file that the command line names.
fn named(argv: &[OsString]) -> Option<PathBuf> {
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some(CONFIG) => return words.next().map(PathBuf::from),
            Some(word) => {
                if let Some(path) = word.strip_prefix(CONFIG).and_then(|rest| rest.strip_prefix('=')) {
                    return Some(PathBuf::from(path));
                }
            }
            None => {}
        }
    }
    None
}

fn load(path: &Path) -> Result<BTreeMap<String, Said>, Refused> {
    let wrong = |why: String| Refused::File(format!("{}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrong(format!("{length} bytes are too long for a configuration")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let parsed: BTreeMap<Spanned<String>, Value> = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(&text, span.start));
        Refused::File(format!("{}:{line}: {}", path.display(), error.message()))
    })?;
    let mut file = BTreeMap::new();
    for (key, value) in parsed {
        let line = line_of(&text, key.span().start);
        let key = key.into_inner().replace('_', "-");
        if let Some(Said { line: other, .. }) = file.insert(key.clone(), Said { line, value }) {
            let (first, again) = (line.min(other), line.max(other));
            return Err(Refused::File(format!("{}:{again}: {key} stands in line {first} already", path.display())));
        }
    }
    Ok(file)
}

fn line_of(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn find<'a>(options: &'a Command, key: &str) -> Option<&'a Arg> {
    let may_be_in_a_file = |arg: &&Arg| !matches!(arg.get_id().as_str(), "config" | PRINT | "help" | "version");
    options.get_arguments().filter(may_be_in_a_file).find(|arg| arg.get_long() == Some(key))
}

fn at(path: &Path, said: &Said, why: &str) -> Refused {
    Refused::File(format!("{}:{}: {why}", path.display(), said.line))
}

fn unknown(path: &Path, key: &str, said: &Said, options: &Command) -> Refused {
    let names = options.get_arguments().filter_map(Arg::get_long);
    let nearest = names.map(|name| (strsim::damerau_levenshtein(name, key), name)).min();
    let hint = match nearest {
        Some((distance, name)) if distance <= 1 + key.len() / 4 => format!("; did you mean {name}?"),
        _ => "; --help lists them".to_owned(),
    };
    at(path, said, &format!("there is no option {key}{hint}"))
}

/// The value as words of a command line.
fn words_of(arg: &Arg, flag: &str, value: &Value) -> Result<Option<String>, String> {
    let takes_none = matches!(arg.get_action(), ArgAction::SetTrue);
    match value {
        Value::Boolean(is) if takes_none => Ok(is.then(|| flag.to_owned())),
        _ if takes_none => Err("true or false".to_owned()),
        Value::Array(list) => {
            let delimiter = arg.get_value_delimiter().ok_or("one value, and no list")?;
            let list: Vec<String> = list.iter().map(plain).collect::<Result<_, _>>()?;
            Ok(Some(format!("{flag}={}", list.join(&delimiter.to_string()))))
        }
        value => Ok(Some(format!("{flag}={}", plain(value)?))),
    }
}

fn plain(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(is) => Ok(is.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => Err("a text, a number, true or false".to_owned()),
    }
}

/// An error about something that the file says names the file and the line.
fn blame(path: &Path, file: &BTreeMap<String, Said>, error: clap::Error) -> Refused {
    let about = error.get(ContextKind::InvalidArg).and_then(|about| match about {
        ContextValue::String(text) => text.strip_prefix("--"),
        _ => None,
    });
    let key = about.and_then(|about| about.split([' ', '=']).next());
    match key.and_then(|key| file.get(key)) {
        Some(said) => at(path, said, error.to_string().trim_start_matches("error: ").trim_end()),
        None => Refused::Usage(error),
    }
}

fn values(options: &Command, matches: &ArgMatches) -> Values {
    let named = options.get_arguments().filter_map(|arg| Some((arg.get_id().as_str(), arg.get_long()?)));
    let said = named.filter(|(id, _)| matches.value_source(id).is_some());
    said.map(|(id, name)| {
        let raw = matches.get_raw(id).into_iter().flatten().map(std::ffi::OsStr::to_owned);
        (name.to_owned(), raw.collect())
    })
    .collect()
}

/// All options and their values, as a configuration file.
fn printed(options: &Command, matches: &ArgMatches) -> String {
    let mut text = String::new();
    for arg in options.get_arguments() {
        let (id, Some(name)) = (arg.get_id().as_str(), arg.get_long()) else { continue };
        if matches!(id, "config" | PRINT | "help" | "version") {
            continue;
        }
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "said",
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) => "default",
            None => {
                // Writing to a text does not fail.
                let _ = writeln!(text, "# {name} =");
                continue;
            }
        };
        let values: Vec<String> =
            matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect();
        let _ = if arg.is_hide_env_values_set() {
            writeln!(text, "# {name} = {HIDDEN}  # {source}")
        } else if arg.get_value_delimiter().is_some() {
            let list: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            writeln!(text, "{name} = [{}]  # {source}", list.join(", "))
        } else {
            writeln!(text, "{name} = {}  # {source}", values.first().map_or_else(|| quoted(""), |value| quoted(value)))
        };
    }
    text
}

/// Numbers and truth values as they are, the rest as texts.
fn quoted(value: &str) -> String {
    if value.parse::<i64>().is_ok() || value == "true" || value == "false" {
        return value.to_owned();
    }
    Value::String(value.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[arg(long, env = "TEST_WEIR_PORT", default_value_t = 1)]
        port: u16,
        #[arg(long, required = true, value_delimiter = ',')]
        etcd: Vec<String>,
        #[arg(long)]
        tls_required: bool,
        #[arg(long, env = "TEST_WEIR_PASSWORD", hide_env_values = true)]
        password: Option<String>,
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long)]
        print_config: bool,
    }

    fn with(text: &str, words: &[&str], env: &[(&str, &str)]) -> Result<Wanted<Program>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.toml");
        std::fs::write(&path, text).unwrap();
        let argv = ["program", CONFIG, path.to_str().unwrap()].iter().chain(words).map(OsString::from).collect();
        let variable =
            |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        read(argv, &variable).map_err(|refused| refused.to_string())
    }

    fn run(text: &str, words: &[&str]) -> Program {
        match with(text, words, &[]) {
            Ok(Wanted::Run(program, _)) => *program,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_flag_comes_before_the_file() {
        let file = "port = 7\netcd = ['a', 'b']\ntls_required = true\npassword = 'p'\n";
        let program = run(file, &[]);
        assert_eq!(
            (program.port, program.etcd.as_slice(), program.tls_required),
            (7, &["a".into(), "b".into()][..], true)
        );
        assert_eq!(
            (program.password.as_deref(), program.config.is_some(), program.print_config),
            (Some("p"), true, false)
        );
        assert_eq!(run(file, &["--port=9"]).port, 9);
        assert!(!run("etcd = 'a'\ntls-required = false", &[]).tls_required);
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        // It is the parser that reads the environment; here it is seen that the file keeps out of its way.
        let Ok(Wanted::Run(program, _)) = with("port = 7\netcd = 'a'", &[], &[("TEST_WEIR_PORT", "8")]) else {
            panic!("it is fine")
        };
        assert_eq!(program.port, 1);
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_line_and_a_remedy() {
        let refused = |text: &str| with(text, &[], &[]).unwrap_err();
        let mistyped = refused("etcd = 'a'\n\nprot = 7\n");
        assert!(mistyped.contains("weir.toml:3: there is no option prot; did you mean port?"), "{mistyped}");
        let wrong = refused("etcd = 'a'\nport = 70000\n");
        assert!(wrong.contains("weir.toml:2:") && wrong.contains("70000") && wrong.contains("65535"), "{wrong}");
        let list = refused("port = [1]\netcd = 'a'");
        assert!(list.contains("weir.toml:1: port: one value, and no list"), "{list}");
        let broken = refused("etcd = 'a'\nport = \n");
        assert!(broken.contains("weir.toml:2:"), "{broken}");
        let flag = refused("etcd = 'a'\ntls-required = 1");
        assert!(flag.contains("weir.toml:2: tls-required: true or false"), "{flag}");
        assert!(refused("config = 'a'").contains("there is no option config"));
        assert!(refused("port = 1").contains("--etcd"), "what is missing is said as always");
    }

    #[test]
    fn an_option_that_stands_twice_is_refused_however_it_is_written() {
        let twice = with("etcd = 'a'\ntls-required = true\ntls_required = false\n", &[], &[]).unwrap_err();
        assert!(twice.contains("weir.toml:3: tls-required stands in line 2 already"), "{twice}");
    }

    #[test]
    fn of_several_mistakes_the_first_is_named() {
        let first = with("etcd = 'a'\nprot = 7\nabsent = 1\n", &[], &[]).unwrap_err();
        assert!(first.contains("weir.toml:2:"), "{first}");
    }

    #[test]
    fn help_is_given_whatever_the_file_says() {
        for word in ["--help", "-h"] {
            let help = with("prot = 7\n", &[word], &[]).unwrap_err();
            assert!(help.contains("Usage") && !help.contains("prot"), "{help}");
        }
    }

    #[test]
    fn what_holds_is_printed_without_passwords_and_can_be_read_again() {
        let file = "port = 7\netcd = ['a', 'b']\npassword = 'secret'\n";
        let Ok(Wanted::Print(text)) = with(file, &["--print-config"], &[]) else { panic!("it prints") };
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("port = 7  # said") && text.contains("tls-required = false  # default"), "{text}");
        let again = run(&text, &[]);
        assert_eq!((again.port, again.etcd), (7, vec!["a".to_owned(), "b".to_owned()]));
    }
}
