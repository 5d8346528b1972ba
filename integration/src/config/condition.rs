//! The condition of an `.if` or `.elif`, as HAProxy reads one: numbers, predicates, `!`, `&&`, `||` and parentheses.
//!
//! What a predicate asks of the program itself, its version or what it was built with, is known to HAProxy
//! alone: such a predicate, and any that we do not know, is neither true nor false here, and the whole only where the rest decides it.

/// What is wrong with a condition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Where, in bytes from the beginning of the condition.
    pub(super) at: usize,
    pub(super) message: &'static str,
}

/// Parentheses and negations within each other.
const DEPTH: usize = 64;

/// Returns whether a condition is true, `None` where only HAProxy knows. An empty one is false.
pub(super) fn evaluate(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<bool>, Wrong> {
    let mut reader = Reader { text, at: 0, variable };
    reader.spaces();
    if reader.rest().is_empty() {
        return Ok(Some(false));
    }
    let value = reader.any(0)?;
    if !reader.rest().is_empty() {
        return Err(reader.wrong("expected `&&`, `||` or the end of the condition"));
    }
    Ok(value)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    variable: &'t dyn Fn(&str) -> Option<String>,
}

/// Of three values, what `or` makes of two.
pub(super) const fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

/// Of three values, what `and` makes of two.
pub(super) const fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    const fn wrong(&self, message: &'static str) -> Wrong {
        Wrong { at: self.at, message }
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    /// Passes over `word` and the spaces behind it, if it comes next.
    fn takes(&mut self, word: &str) -> bool {
        let takes = self.rest().starts_with(word);
        if takes {
            self.at += word.len();
            self.spaces();
        }
        takes
    }

    fn any(&mut self, depth: usize) -> Result<Option<bool>, Wrong> {
        let mut value = self.all(depth)?;
        while self.takes("||") {
            value = or(value, self.all(depth)?);
        }
        Ok(value)
    }

    fn all(&mut self, depth: usize) -> Result<Option<bool>, Wrong> {
        let mut value = self.term(depth)?;
        while self.takes("&&") {
            value = and(value, self.term(depth)?);
        }
        Ok(value)
    }

    fn term(&mut self, depth: usize) -> Result<Option<bool>, Wrong> {
        if depth == DEPTH {
            return Err(self.wrong("nested too deeply"));
        }
        if self.takes("!") {
            return Ok(self.term(depth + 1)?.map(|value| !value));
        }
        if self.takes("(") {
            let value = self.any(depth + 1)?;
            if !self.takes(")") {
                return Err(self.wrong("expected `)`"));
            }
            return Ok(value);
        }
        let value = match self.number() {
            Some(value) => Some(value),
            None => self.predicate()?,
        };
        self.spaces();
        Ok(value)
    }

    /// Reads a number, if one comes next: in base 10, 8 (`0…`) or 16 (`0x…`). Returns whether it is another one than 0.
    fn number(&mut self) -> Option<bool> {
        let rest = self.rest();
        let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let hex = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X"));
        let hex = hex.filter(|hex| hex.starts_with(|first: char| first.is_ascii_hexdigit()));
        let (digits, base) = match hex {
            Some(hex) => (hex, 16),
            None if unsigned.starts_with('0') => (unsigned, 8),
            None => (unsigned, 10),
        };
        let behind = digits.trim_start_matches(|digit: char| digit.is_digit(base));
        self.at = self.text.len() - behind.len();
        let digits = &digits[..digits.len() - behind.len()];
        Some(digits.contains(|digit| digit != '0'))
    }

    fn predicate(&mut self) -> Result<Option<bool>, Wrong> {
        let rest = self.rest();
        let name = rest.len()
            - rest
                .trim_start_matches(|c: char| {
                    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
                })
                .len();
        let (name, behind) = rest.split_at(name);
        if name.is_empty() || (!behind.starts_with('(') && name != "defined") {
            return Err(
                self.wrong("expected a number, `!`, `(` or a predicate such as `defined(NAME)`")
            );
        }
        self.at += name.len();
        let begin = self.at;
        let arguments = self.arguments()?;
        let compared = || match arguments.as_slice() {
            [a, b] => Ok((a.as_str(), b.as_str())),
            _ => Err(Wrong { at: begin, message: "expected two arguments" }),
        };
        Ok(match name {
            "defined" => match arguments.as_slice() {
                [name] => Some((self.variable)(name).is_some()),
                _ => return Err(Wrong { at: begin, message: "expected one argument" }),
            },
            "streq" => compared().map(|(a, b)| Some(a == b))?,
            "strneq" => compared().map(|(a, b)| Some(a != b))?,
            "strstr" => compared().map(|(a, b)| Some(a.contains(b)))?,
            // Of HAProxy's version, build and settings.
            _ => None,
        })
    }

    /// Reads `(a,b)`, where quotes and `\` work as in a line.
    fn arguments(&mut self) -> Result<Vec<String>, Wrong> {
        if !self.rest().starts_with('(') {
            return Ok(vec![String::new()]);
        }
        let mut arguments = vec![String::new()];
        let mut quote = None;
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            let last = arguments.last_mut().expect("there is always one");
            match (quote, character) {
                (None, ')') => {
                    self.at += at + 1;
                    return Ok(arguments);
                }
                (None, ',') => arguments.push(String::new()),
                (None, '"' | '\'') => quote = Some(character),
                (Some(begun), _) if begun == character => quote = None,
                (None | Some('"'), '\\') => match characters.next() {
                    Some((_, escaped)) => last.push(escaped),
                    None => break,
                },
                _ => last.push(character),
            }
        }
        self.at = self.text.len();
        Err(self.wrong("expected `)`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Option<String> {
        matches!(name, "A" | "B").then(String::new)
    }

    /// Each with what HAProxy 2.6 says of it, asked by `haproxy -c`; what is wrong is so at our own place.
    #[test]
    fn conditions_are_read_as_haproxy_reads_them() {
        let truth = [
            "1",
            "-1",
            "+1",
            "0x1",
            "18446744073709551616",
            "defined(A)",
            "defined(A) && defined(B)",
            "defined(A) && !defined(NOPE)",
            "! defined(NOPE)",
            "!defined(NOPE) && 0 || 1",
            "1 || 0 && 0",
            "streq(yes,yes)",
            "streq(,)",
            "streq(yes,yes) && 1",
            "strneq(a,b)",
            "!!1",
            "1&&2",
            "streq(a b,a b)",
            "streq(\"a,b\",\"a,b\")",
            "streq(\"a,b\",a\\,b)",
        ];
        for text in truth {
            assert_eq!(evaluate(text, &variable), Ok(Some(true)), "{text}");
        }
        let lies = [
            "",
            "0",
            "00",
            "0x0",
            "defined(NOPE)",
            "defined(A)&&defined(NOPE)",
            "(1||0)&&0",
            "( 1 || 0 ) && 0",
            "streq(yes, yes)",
            "defined()",
            "!!!1",
            "streq(a b,ab)",
            "streq((,x)",
            "strneq(a,a)",
        ];
        for text in lies {
            assert_eq!(evaluate(text, &variable), Ok(Some(false)), "{text}");
        }
        let wrong = [
            ("5x", 1),
            ("TRUE", 0),
            ("streq(a,b,c)", 5),
            ("streq(a)", 5),
            ("nosuch", 0),
            ("defined A", 8),
            ("defined(A", 9),
            ("defined(A) x", 11),
            ("1 1", 2),
            ("1 && ", 5),
            ("()", 1),
            ("1&1", 1),
            ("yes", 0),
            ("(1", 2),
            ("09", 1),
        ];
        for (text, at) in wrong {
            assert_eq!(evaluate(text, &variable).map_err(|wrong| wrong.at), Err(at), "{text}");
        }
        evaluate(&"(".repeat(10_000), &variable).unwrap_err();
        evaluate(&"!".repeat(10_000), &variable).unwrap_err();
    }

    #[test]
    fn what_only_haproxy_knows_decides_where_nothing_else_does() {
        for (text, expected) in [
            ("feature(OPENSSL)", None),
            ("!version_atleast(2.6)", None),
            ("enabled(POLL) && 1", None),
            ("enabled(POLL) && 0", Some(false)),
            ("0 || feature(X)", None),
            ("feature(X) || 1", Some(true)),
            // Which HAProxy 2.6 does not know yet, and those after it.
            ("strstr(abc,bc)", Some(true)),
            ("strstr(a,ab)", Some(false)),
            ("a_later_one(1,2)", None),
        ] {
            assert_eq!(evaluate(text, &variable), Ok(expected), "{text}");
        }
    }
}
