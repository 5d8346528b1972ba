//! `stktabled generate`: the lines to paste into each HAProxy, and the file of `stktabled`, for a given topology.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use stktable::declare::{Declaration, Scope};
use stktable::{DataType, KeySpec};
use stktable_integration::aggregate::{self, Combine, LEASE_KEY_LEN, Rule, Settings};
use stktable_integration::config::Address;

/// What is generated.
#[derive(Args, Debug)]
pub(crate) struct Generate {
    /// An HAProxy, and where it is called by its peers; may be repeated.
    #[arg(long = "haproxy", value_name = "NAME=ADDR:PORT", required = true, value_parser = node)]
    haproxies: Vec<Node>,

    /// A stktabled, and where it is called; may be repeated.
    #[arg(long = "stktabled", value_name = "NAME=ADDR:PORT", required = true, value_parser = node)]
    daemons: Vec<Node>,

    /// A table: its name, then its words as behind `table`; may be repeated.
    #[arg(long = "table", value_name = "WORDS", required = true)]
    tables: Vec<String>,

    /// The name of the section.
    #[arg(long, value_name = "NAME", default_value = "mesh")]
    section: String,

    /// Each HAProxy counts for itself, in NAME.local, and reads what all have counted in NAME.agg.
    #[arg(long)]
    sums: bool,

    /// The certificate of each, with its key: then they talk in TLS.
    #[arg(long, value_name = "FILE", requires = "ca_file")]
    crt: Option<PathBuf>,

    /// The authority of the certificates.
    #[arg(long, value_name = "FILE", requires = "crt")]
    ca_file: Option<PathBuf>,

    /// Only the lines of this one, and no others.
    #[arg(long = "for", value_name = "NAME")]
    only: Option<String>,
}

/// A process of the topology.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    address: Address,
}

fn node(text: &str) -> Result<Node, String> {
    let (name, address) =
        text.split_once('=').ok_or_else(|| "expected NAME=ADDRESS:PORT".to_owned())?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(format!("`{name}`: expected letters, digits, `_`, `.`, `:` and `-`"));
    }
    let address = Address::parse(address).map_err(|error| error.to_string())?;
    if address.port == 0 {
        return Err("a peer cannot be called at port 0".to_owned());
    }
    Ok(Node { name: name.to_owned(), address })
}

/// A table with its sums, if there are to be some.
struct Table {
    local: Declaration,
    /// One for each aggregator.
    sums: Vec<Declaration>,
    combine: Option<Combine>,
}

/// Writes everything.
pub(crate) fn run(wanted: &Generate) -> Result<String, Box<dyn Error>> {
    let nodes = || wanted.haproxies.iter().chain(&wanted.daemons);
    for (at, node) in nodes().enumerate() {
        if nodes().take(at).any(|other| other.name == node.name) {
            return Err(format!(
                "`{}` is there twice; expected a name of its own for each",
                node.name
            )
            .into());
        }
    }
    if let Some(only) = &wanted.only
        && !nodes().any(|node| node.name == *only)
    {
        let names: Vec<_> = nodes().map(|node| format!("`{}`", node.name)).collect();
        return Err(format!("--for {only}: expected one of {}", names.join(", ")).into());
    }
    let tables = tables(wanted)?;
    let mut out = String::new();
    for (node, is_haproxy) in wanted
        .haproxies
        .iter()
        .map(|node| (node, true))
        .chain(wanted.daemons.iter().map(|node| (node, false)))
    {
        if wanted.only.as_ref().is_some_and(|only| *only != node.name) {
            continue;
        }
        // Writing to memory does not fail.
        let _ = match (wanted.sums, is_haproxy) {
            (false, _) => shared(wanted, &tables, node, is_haproxy, &mut out),
            (true, true) => source(wanted, &tables, node, &mut out),
            (true, false) => aggregator(wanted, &tables, node, &mut out),
        };
    }
    Ok(out)
}

/// How the names of the sums of an aggregator end.
fn suffix(wanted: &Generate, at: usize) -> String {
    if wanted.daemons.len() == 1 { ".agg".to_owned() } else { format!(".agg{}", at + 1) }
}

fn tables(wanted: &Generate) -> Result<Vec<Table>, Box<dyn Error>> {
    let mut tables = Vec::new();
    for words in &wanted.tables {
        let parsed = Declaration::parse(&format!("table {words}"), Scope::Peers(&wanted.section));
        let mut local = parsed.into_result().map_err(|errors| {
            let said: Vec<_> =
                errors.iter().map(|error| format!("`{}`: {}", error.word, error.kind)).collect();
            format!("--table \"{words}\": {}", said.join("; "))
        })?;
        let mut made = Table { local: local.clone(), sums: Vec::new(), combine: None };
        if wanted.sums {
            let stem = local.name.trim_end_matches(".local").to_owned();
            local.name = format!("{stem}.local");
            // The first counter or tag that is free holds the connections of the moment.
            let free = [DataType::Gpc1, DataType::Gpt0, DataType::Gpc0].into_iter().find(|free| {
                local.column(*free).is_none() && local.column(array_of(*free)).is_none()
            });
            made.combine = local.column(DataType::ConnCur).and(free).map(|free| Combine {
                from: DataType::ConnCur,
                rule: Rule::Sum,
                into: Some(free),
            });
            let settings =
                Settings { combine: made.combine.into_iter().collect(), ..Settings::default() };
            for at in 0..wanted.daemons.len() {
                let name = format!("{stem}{}", suffix(wanted, at));
                made.sums.push(aggregate::declaration(&local, &name, &settings)?);
            }
            made.local = local;
        }
        tables.push(made);
    }
    Ok(tables)
}

/// The array that takes the place of a single one.
const fn array_of(single: DataType) -> DataType {
    match single {
        DataType::Gpt0 => DataType::Gpt,
        _ => DataType::Gpc,
    }
}

/// What follows the address on a line of this kind, where they talk in TLS.
fn tls(wanted: &Generate) -> String {
    match (&wanted.crt, &wanted.ca_file) {
        (Some(crt), Some(ca)) => {
            format!(" ssl crt {} ca-file {} verify required", crt.display(), ca.display())
        }
        _ => String::new(),
    }
}

/// `bind` and `server` lines: ourselves, and the others.
fn peers<'n>(
    wanted: &Generate,
    node: &Node,
    others: impl Iterator<Item = &'n Node>,
    out: &mut String,
) -> std::fmt::Result {
    let tls = tls(wanted);
    writeln!(out, "    bind {}{tls}", node.address)?;
    writeln!(out, "    server {}", node.name)?;
    for other in others.filter(|other| other.name != node.name) {
        writeln!(out, "    server {} {}{tls}", other.name, other.address)?;
    }
    Ok(())
}

/// Everybody shares every table with everybody.
fn shared(
    wanted: &Generate,
    tables: &[Table],
    node: &Node,
    is_haproxy: bool,
    out: &mut String,
) -> std::fmt::Result {
    let started = if is_haproxy { "haproxy -L" } else { "stktabled -f FILE -L" };
    writeln!(out, "# {}: {started} {}", node.name, node.name)?;
    writeln!(out, "peers {}", wanted.section)?;
    peers(wanted, node, wanted.haproxies.iter().chain(&wanted.daemons), out)?;
    tables.iter().try_for_each(|table| writeln!(out, "    {}", table.local))?;
    writeln!(out)
}

/// An HAProxy that counts for itself, and reads sums.
fn source(wanted: &Generate, tables: &[Table], node: &Node, out: &mut String) -> std::fmt::Result {
    let section = &wanted.section;
    writeln!(out, "# {}: haproxy -L {}", node.name, node.name)?;
    writeln!(
        out,
        "# The other HAProxies are none of its peers here: they would overwrite what it counts."
    )?;
    writeln!(out, "peers {section}")?;
    peers(wanted, node, wanted.daemons.iter(), out)?;
    for table in tables {
        writeln!(out, "    {}", table.local)?;
        table.sums.iter().try_for_each(|sum| writeln!(out, "    {sum}"))?;
    }
    let lease = aggregate::lease_declaration(section, "lease");
    writeln!(out, "    {lease}")?;
    writeln!(
        out,
        "# In a frontend, for a client whose key is `src`: the first sum that is whole, else what was counted here."
    )?;
    for table in tables {
        let local = &table.local;
        let key = if local.key == KeySpec::string(LEASE_KEY_LEN).unwrap_or(local.key) {
            "KEY"
        } else {
            "src"
        };
        // A limit is mostly one of a rate.
        let single = || local.columns.iter().filter(|column| !column.data_type.is_array());
        let Some(column) =
            single().find(|column| column.data_type.is_rate()).or_else(|| single().next())
        else {
            continue;
        };
        writeln!(out, "#    http-request track-sc0 {key} table {section}/{}", local.name)?;
        for sum in &table.sums {
            writeln!(
                out,
                "#    http-request deny deny_status 429 if {{ str({}),table_gpt0({section}/lease) eq 1 }} {{ {key},table_{}({section}/{}) gt LIMIT }}",
                sum.name, column.data_type, sum.name
            )?;
        }
    }
    writeln!(out)
}

/// A `stktabled` that makes sums of what the HAProxies count.
fn aggregator(
    wanted: &Generate,
    tables: &[Table],
    node: &Node,
    out: &mut String,
) -> std::fmt::Result {
    let at = wanted.daemons.iter().position(|daemon| daemon.name == node.name).unwrap_or(0);
    writeln!(out, "# {}: stktabled -f FILE -L {}", node.name, node.name)?;
    writeln!(out, "aggregations {}", wanted.section)?;
    peers(wanted, node, wanted.haproxies.iter(), out)?;
    tables.iter().try_for_each(|table| writeln!(out, "    {}", table.local))?;
    writeln!(out, "    from .local to {}", suffix(wanted, at))?;
    let mut said = Vec::new();
    for combine in tables.iter().filter_map(|table| table.combine) {
        if let Some(into) = combine.into.filter(|_| !said.contains(&combine)) {
            writeln!(out, "    combine {} by {} as {into}", combine.from, combine.rule)?;
            said.push(combine);
        }
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use stktable_integration::config::{self, Context};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        generate: Generate,
    }

    fn generate(words: &str, tables: &[&str]) -> Result<String, String> {
        let mut line: Vec<_> = "generate".split(' ').chain(words.split_whitespace()).collect();
        tables.iter().for_each(|table| line.extend(["--table", table]));
        let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        run(&line.generate).map_err(|error| error.to_string())
    }

    const NODES: &str = "--haproxy web1=192.0.2.1:10000 --haproxy web2=192.0.2.2:10000 --stktabled sum=192.0.2.9:10000";

    #[test]
    fn every_block_is_a_configuration() {
        let table = "st type ip size 1k expire 1m store gpc0,conn_cur,http_req_rate(10s)";
        for more in ["", "--sums", "--sums --stktabled sum2=192.0.2.10:10000"] {
            let words = format!("{NODES} {more}");
            for name in ["web1", "web2", "sum"] {
                let text = generate(&format!("{words} --for {name}"), &[table]).unwrap();
                let config = config::parse(&[("x.cfg", text.as_bytes())], &Context::EMPTY);
                let setup = config.unwrap_or_else(|error| panic!("{text}{error}")).resolve(name);
                let setup = setup.unwrap_or_else(|error| panic!("{text}{error}"));
                assert_eq!(setup.warnings, [], "{text}");
            }
        }
    }

    #[test]
    fn what_sums_publish_is_what_haproxies_declare() {
        let tables = [
            "st type ip size 1k expire 1m store gpc0,conn_cur",
            "u type integer size 10 store gpc1",
        ];
        let words = format!("{NODES} --stktabled sum2=192.0.2.10:10000 --sums");
        let read = |name: &str| {
            let text = generate(&format!("{words} --for {name}"), &tables).unwrap();
            let config = config::parse(&[("x.cfg", text.as_bytes())], &Context::EMPTY).unwrap();
            let setup = config.resolve(name).unwrap();
            setup.tables.into_iter().map(|table| table.declaration).collect::<Vec<_>>()
        };
        let theirs = read("web1");
        for (aggregator, ends) in [("sum", ".agg1"), ("sum2", ".agg2")] {
            let ours = read(aggregator);
            let sums: Vec<_> = ours
                .iter()
                .filter(|table| table.name.ends_with(ends) || table.name == "lease")
                .collect();
            assert_eq!(sums.len(), 3);
            assert!(sums.iter().all(|sum| theirs.contains(sum)), "{sums:?} {theirs:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let table = ["t type ip size 1k store gpc0"];
        for (words, expected) in [
            ("--haproxy web1 --stktabled s=192.0.2.9:1", "expected NAME=ADDRESS:PORT"),
            ("--haproxy a=192.0.2.1:1 --stktabled a=192.0.2.9:1", "`a` is there twice"),
            ("--haproxy a=192.0.2.1:0 --stktabled b=192.0.2.9:1", "port 0"),
            ("--haproxy a/b=192.0.2.1:1 --stktabled b=192.0.2.9:1", "`a/b`: expected letters"),
            (
                "--haproxy a=192.0.2.1:1 --stktabled b=192.0.2.9:1 --for c",
                "--for c: expected one of `a`, `b`",
            ),
        ] {
            let error = generate(words, &table).unwrap_err();
            assert!(error.contains(expected), "{words}: {error}");
        }
        let error = generate(NODES, &["t type ip size 1k store gpc7"]).unwrap_err();
        assert!(error.contains("gpc7"), "{error}");
    }
}
