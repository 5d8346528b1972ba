//! The words of TLS in a configuration, and the files that they name.

use std::fmt::Write as _;
use std::path::Path;

use stktable_integration::config::{self, Config, ConfigError, Context, Setup};
use stktable_integration::node::check_tls;
use stktable_integration::tls::{Verify, Versions};

use crate::Lab;
use crate::certificates::{Authority, written};

fn read(text: &str) -> Result<Config, ConfigError> {
    config::parse(&[("x.cfg", text.as_bytes())], &Context::EMPTY)
}

#[track_caller]
fn setup(text: &str) -> Setup {
    let config = read(text).unwrap_or_else(|error| panic!("{error}"));
    config.resolve("a").unwrap_or_else(|error| panic!("{error}"))
}

/// The errors of a configuration, whatever finds them.
#[track_caller]
fn errors(text: &str) -> Vec<String> {
    let setup = read(text).and_then(|config| config.resolve("a"));
    let error = match setup {
        Err(error) => error,
        Ok(setup) => check_tls(&setup).expect_err(text),
    };
    error.errors().map(ToString::to_string).collect()
}

#[test]
fn words_mean_what_they_mean_to_haproxy() {
    let setup = setup(
        "global\n crt-base /etc/crt\n ca-base /etc/ca\n\
         peers p\n\
         \x20default-bind ssl crt default.pem\n\
         \x20default-server ssl verify required ca-file ca.pem crt ours.pem no-sslv3 verifyhost all\n\
         \x20bind 127.0.0.1:1 crt /own.pem verify optional ca-file callers.pem ssl-min-ver TLSv1.3\n\
         \x20server a\n server b 127.0.0.1:2\n\
         \x20server c 127.0.0.1:3 verify none crt c.pem key c.key sni str(c.example) no-verifyhost ssl-max-ver TLSv1.2\n\
         \x20server d 127.0.0.1:4 no-ssl verifyhost d\n\
         \x20default-server verify none\n server e 127.0.0.1:5\n",
    );
    let path = |text: &str| Some(Path::new(text).to_owned());
    let section = &setup.sections[0];
    let listen = &section.tls.as_ref().unwrap().settings;
    assert_eq!(
        (listen.crt.clone(), listen.ca_file.clone()),
        (path("/own.pem"), path("/etc/ca/callers.pem"))
    );
    assert_eq!((listen.verify, listen.versions), (Verify::Optional, Versions::Tls13));
    let tls: Vec<_> =
        section.remotes.iter().map(|remote| remote.tls.as_ref().map(|tls| &tls.settings)).collect();
    let [Some(b), Some(c), None, Some(e)] = tls[..] else { panic!("{tls:?}") };
    assert_eq!(
        (b.crt.clone(), b.ca_file.clone()),
        (path("/etc/crt/ours.pem"), path("/etc/ca/ca.pem"))
    );
    assert_eq!(
        (b.verify, b.verify_host.as_deref(), b.sni.as_deref()),
        (Verify::Required, Some("all"), None)
    );
    assert_eq!((c.crt.clone(), c.key.clone()), (path("/etc/crt/c.pem"), path("/etc/crt/c.key")));
    assert_eq!(
        (c.verify, c.verify_host.as_deref(), c.sni.as_deref()),
        (Verify::None, None, Some("c.example"))
    );
    assert_eq!(c.versions, Versions::Tls12);
    assert_eq!((e.verify, e.crt.clone()), (Verify::None, path("/etc/crt/ours.pem")));
}

#[test]
fn what_is_missing_is_told_at_its_line() {
    let text = "peers p\n bind :1 ssl\n server a\n server b 127.0.0.1:2 ssl\n server c 127.0.0.1:3 ssl verify none sni ssl_fc_sni\n";
    assert_eq!(
        errors(text),
        [
            "x.cfg:5:43: error: `ssl_fc_sni`: there is nothing to be fetched here; expected `str(NAME)`"
        ]
    );
    let text = "peers p\n bind :1 ssl\n server a\n server b 127.0.0.1:2 ssl\n";
    assert_eq!(
        errors(text),
        [
            "x.cfg:4:23: error: `ssl`: the certificate of a peer is verified unless something else is said, and nothing vouches for \
             it; expected `ca-file FILE`, or `verify none`",
            "x.cfg:2:10: error: `ssl`: a listener needs a certificate; expected `crt FILE`",
        ]
    );
    // `ssl-server-verify none` is what else can be said.
    setup(
        "global\n ssl-server-verify none\npeers p\n bind :1\n server a\n server b 127.0.0.1:2 ssl\n",
    );
    let odd = errors("peers p\n bind :1 ssl crt x verify maybe verifyhost b crt\n server a\n");
    assert_eq!(odd.len(), 3, "{odd:?}");
    assert!(
        odd[0].contains("x.cfg:2:27")
            && odd[1].contains("x.cfg:2:33")
            && odd[2].contains("x.cfg:2:46"),
        "{odd:?}"
    );
}

#[test]
fn files_that_cannot_be_used_are_told_at_their_word() {
    let lab = Lab::new();
    let at = |name: &str| lab.path().join(name).display().to_string();
    let good = lab.authority.issue(lab.path(), "good.pem", &["a"]).display().to_string();
    let (certificate, key) = lab.authority.issued(&["a"], false);
    let (_, other) = Authority::new("two").issued(&["a"], false);
    written(lab.path(), "bare.pem", &certificate);
    written(lab.path(), "beside.pem", &certificate);
    written(lab.path(), "beside.pem.key", &key);
    written(lab.path(), "other.key", &other);
    written(lab.path(), "mixed.pem", &(certificate.clone() + &other));
    written(lab.path(), "keyless.pem", &key);
    written(lab.path(), "cut.pem", &certificate[..200]);
    let mut text = "peers p\n bind 127.0.0.1:0\n server a\n".to_owned();
    let cases = [
        (format!("crt {}", at("none.pem")), "cannot be read: No such file"),
        (format!("crt {}", at("bare.pem")), "has no private key"),
        (format!("crt {}", at("keyless.pem")), "has no certificate"),
        (format!("crt {}", at("cut.pem")), "is no good PEM"),
        (format!("crt {}", at("mixed.pem")), "KeyMismatch"),
        (format!("crt {good} key {}", at("other.key")), "KeyMismatch"),
        (format!("ca-file {}", at("keyless.pem")), "has no certificate"),
        (format!("verifyhost a..b ca-file {}", at("ca.pem")), "is no name"),
    ];
    for (at, (words, _)) in cases.iter().enumerate() {
        let verify = if words.contains("ca-file") { "required" } else { "none" };
        writeln!(text, " server b{at} 127.0.0.1:2 ssl verify {verify} {words}").unwrap();
    }
    let found = errors(&text);
    assert_eq!(found.len(), cases.len(), "{found:#?}");
    for (line, ((words, why), found)) in cases.iter().zip(&found).enumerate() {
        assert!(found.starts_with(&format!("x.cfg:{}:", line + 4)), "{found}");
        assert!(found.contains(why), "{words}: {found}");
    }
    // The file at fault, and not the one beside it.
    assert!(found[5].contains(&format!("`{}`: key: ", at("other.key"))), "{}", found[5]);
    // HAProxy's way with a key of its own file.
    let text = format!("peers p\n bind 127.0.0.1:0 ssl crt {}\n server a\n", at("beside.pem"));
    check_tls(&setup(&text)).unwrap();
}

#[test]
fn a_name_that_no_certificate_has_is_told() {
    let lab = Lab::new();
    let crt = lab.authority.issue(lab.path(), "a.pem", &["a"]).display().to_string();
    let ca = lab.ca_file.display().to_string();
    let text = |more: &str| {
        format!(
            "peers p\n bind 127.0.0.1:0 ssl crt {crt} ca-file {ca} verify required\n{more} server a\n \
             server b:1 127.0.0.1:2 ssl ca-file {ca} crt {crt}\n"
        )
    };
    let found = errors(&text(""));
    assert!(
        found[0].starts_with("x.cfg:4:9: error: `b:1`: no certificate can have this name"),
        "{found:?}"
    );
    check_tls(&setup(&text(" #stktabled: verify-peer-names off\n"))).unwrap();
    check_tls(&setup(&text(" default-server verifyhost b\n"))).unwrap();
}
