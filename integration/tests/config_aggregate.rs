//! What a configuration says of sums over peers, and what it says wrongly.

use stktable::DataType;
use stktable_integration::aggregate::Rule;
use stktable_integration::config::{self, Config, Context, Setup};

fn read(text: &str) -> Result<Config, String> {
    config::parse(&[("x.cfg", text.as_bytes())], &Context::EMPTY).map_err(|error| error.to_string())
}

fn setup(text: &str) -> Result<Setup, String> {
    read(text)?.resolve("a").map_err(|error| error.to_string())
}

const HEAD: &str =
    "aggregations m\n peer a 127.0.0.1:1 local\n peer b 127.0.0.1:2\n peer c 127.0.0.1:3\n";

#[test]
fn a_section_makes_tables_of_others() {
    let text = format!(
        "{HEAD} table st.local type ip size 1k expire 1m store gpc0,conn_cur,http_req_rate(10s)\n \
         table other type ip size 1k store gpc0\n from .local to .agg\n combine conn_cur by max as gpt0\n \
         publish-every 250ms\n source-timeout 7s\n lease whole\n"
    );
    let setup = setup(&text).unwrap();
    assert_eq!(setup.warnings, []);
    let section = &setup.sections[0];
    assert_eq!(section.local_peer, "a");
    assert_eq!(section.sources, ["b", "c"]);
    let names: Vec<_> =
        section.tables.iter().map(|at| setup.tables[*at].declaration.local_name()).collect();
    assert_eq!(names, ["m/st.local", "m/other", "m/st.agg", "m/whole"], "the lease comes last");
    assert_eq!(section.lease, section.tables.last().copied());
    let aggregate = &section.aggregates[0];
    assert_eq!((aggregate.settings.every_ms, aggregate.settings.source_timeout_ms), (250, 7_000));
    assert_eq!(aggregate.settings.combine[0].rule, Rule::Max);
    let into = &setup.tables[aggregate.into].declaration;
    let types: Vec<_> = into.columns.iter().map(|column| column.data_type).collect();
    assert_eq!(types, [DataType::Gpt0, DataType::Gpc0, DataType::HttpReqRate]);
    assert_eq!((into.size, into.expire_ms), (1024, 60_000));
}

#[test]
fn peers_are_sources_as_they_are_marked() {
    let tail = " table st.local type ip size 1k store gpc0\n from .local to .agg\n";
    let of = |lines: &str| {
        let text = format!("aggregations m\n peer a 127.0.0.1:1 local\n{lines}{tail}");
        let setup = setup(&text).unwrap();
        let section = &setup.sections[0];
        (section.sources.join(" "), section.aggregators.join(" "))
    };
    let both = |sources: &str, aggregators: &str| (sources.to_owned(), aggregators.to_owned());
    assert_eq!(of(" peer b 127.0.0.1:2\n peer c 127.0.0.1:3 up\n"), both("b", ""));
    let lines = " peer b 127.0.0.1:2\n peer c 127.0.0.1:3 down aggregator\n";
    assert_eq!(of(lines), both("c", "c"));
}

#[test]
fn any_takes_every_table() {
    let text = format!(
        "{HEAD} table one type ip size 1k store gpc0\n table two type integer size 1k store gpc1\n from any to .agg\n"
    );
    let setup = setup(&text).unwrap();
    let into =
        |at: usize| setup.tables[setup.sections[0].aggregates[at].into].declaration.local_name();
    assert_eq!([into(0), into(1)], ["m/one.agg", "m/two.agg"]);
}

#[test]
fn the_words_stand_in_a_peers_section_as_lines_of_our_own() {
    let text = "peers m\n peer a 127.0.0.1:1\n peer b 127.0.0.1:2\n table st.local type ip size 1k store gpc0\n \
                #stktabled: from .local to .agg\n";
    assert_eq!(setup(text).unwrap().sections[0].aggregates.len(), 1);
    // HAProxy would refuse the word itself.
    let text = text.replace("#stktabled: ", "");
    assert!(setup(&text).unwrap_err().starts_with("x.cfg:5:2: error: `from`: not known"));
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_word() {
    const TABLE: &str = " table st.local type ip size 1k store gpc0,conn_cur\n";
    for (lines, expected) in [
        (" from .local\n", "x.cfg:6:7: error: `.local`: expected `from .SUFFIX to .SUFFIX`"),
        (" from .local to .local\n", "x.cfg:6:17: error: `.local`: the names would be the same"),
        (
            " from .loc to .agg\n",
            "x.cfg:6:2: error: `.loc`: no table of section `m` has a name that ends so",
        ),
        (
            " combine gpc0 by mean\n",
            "x.cfg:6:18: error: `mean`: expected sum, max, min, last or any",
        ),
        (" combine gpc7 by sum\n", "x.cfg:6:10: error: `gpc7`: no data type"),
        (" combine gpc0\n", "x.cfg:6:10: error: `gpc0`: expected `combine TYPE by"),
        (" publish-every 1ms\n", "x.cfg:6:16: error: `1ms`: expected a time from 10ms to 1m"),
        (" source-timeout 1s\n", "x.cfg:6:17: error: `1s`: expected a time from 2500ms"),
        (" source-timeout 3s 4s\n", "x.cfg:6:20: error: `4s`: one value is enough"),
        (" lease a/b\n", "x.cfg:6:8: error: `a/b`: no name of a table"),
        (" frob\n", "x.cfg:6:2: error: `frob`: not known in an aggregations section"),
        (
            " from .local to .agg\n combine gpt0 by max\n",
            "x.cfg:7:2: error: `gpt0`: no table that is combined stores it",
        ),
        (
            " from .local to .agg\n combine conn_cur by sum as gpc0\n",
            "x.cfg:6:2: error: `st.agg`: `gpc0` is stored already",
        ),
        (
            " from .local to .agg\n combine conn_cur by sum as bytes_in_cnt\n",
            "x.cfg:6:2: error: `st.agg`: `bytes_in_cnt` cannot hold",
        ),
        (" combine gpc0 by sum\n", "x.cfg:1:1: error: `m`: nothing is made of any table"),
        (
            " peer d 127.0.0.1:4 up down\n",
            "x.cfg:6:24: error: `down`: a peer is one of local, down and up",
        ),
        (
            " from .local to .agg\n table lease type ip size 1 store gpc0\n",
            "error: `/lease`: peers of section `m` know another table by this name",
        ),
    ] {
        let errors = setup(&format!("{HEAD}{TABLE}{lines}")).unwrap_err();
        assert!(errors.contains(expected), "{lines}: {errors}");
    }
    let arrays = " table st.local type ip size 1k store gpc(2),conn_cur\n from .local to .agg\n";
    let errors = setup(&format!("{HEAD}{arrays} combine conn_cur by sum as gpc1\n")).unwrap_err();
    assert!(errors.starts_with("x.cfg:6:2: error: `st.agg`: `gpc"), "{errors}");
    let text = format!("{HEAD}{TABLE} from .local to .agg\n");
    let warnings = setup(&text).unwrap().warnings;
    assert!(warnings[0].to_string().contains("HAProxy does not learn conn_cur"), "{warnings:?}");
    let alone = "aggregations m\n peer a 127.0.0.1:1 local\n peer b 127.0.0.1:2 up\n table st.local type ip size 1k store gpc0\n \
                 from .local to .agg\n";
    assert!(setup(alone).unwrap_err().contains("no peer of this section is a source"));
}
