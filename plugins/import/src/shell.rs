//! As much of the shell's language as hooks for port forwards are written in: plain assignments,
//! `if` with comparisons, and commands of plain words. Nothing is ever run; anything else is refused
//! with its line.

use super::Remark;

/// A word before variables are put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// What it is made of.
    pub(super) parts: Vec<Part>,
    /// The line it begins in, from 1.
    pub(super) line: usize,
}

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Characters as they are.
    Text(String),
    /// `$NAME` inside of double quotes.
    QuotedVariable(String),
    /// `$NAME` outside of them: white space in it divides words.
    Variable(String),
}

impl Word {
    /// The word, when there is no variable in it.
    pub(super) fn text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// One statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// `NAME=VALUE`
    Assignment {
        /// The variable.
        name: String,
        /// Its value.
        value: Word,
    },
    /// A program with its arguments; at least one word.
    Command(Vec<Word>),
    /// `if`, with what is done when no condition holds.
    If {
        /// Conditions and what is done when one is the first to hold.
        arms: Vec<(Condition, Vec<Statement>)>,
        /// What is done when none holds.
        otherwise: Vec<Statement>,
    },
    /// `exit`
    Exit,
}

/// Comparisons joined by `||` and `&&`, which bind alike, from left to right; the first as by `||`.
pub(super) type Condition = Vec<(Joiner, Comparison)>;

/// What joins a comparison to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joiner {
    /// `||`
    Or,
    /// `&&`
    And,
}

/// `[ A = B ]`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// The left side.
    pub(super) left: Word,
    /// The right side.
    pub(super) right: Word,
    /// Whether they have to be equal, or else to differ.
    pub(super) expected: Relation,
}

/// What a comparison wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// `=` and `==`
    Equal,
    /// `!=`
    Different,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(Word),
    Or,
    And,
    /// A line's end or `;`.
    End(usize),
}

/// Reads a whole script.
///
/// # Errors
/// [`Remark`] at the first thing that is not understood.
pub(super) fn parse(text: &str) -> Result<Vec<Statement>, Remark> {
    let mut parser = Parser {
        tokens: Lexer::new(text).tokens()?,
        next: 0,
    };
    Ok(parser.block(&[])?.0)
}

fn unknown(line: usize, what: &str) -> Remark {
    let what = what.escape_debug();
    let text = format!(
        "'{what}' is not understood, expected assignments of plain values, 'if' with comparisons, and \
         commands of plain words (shell is read, never run)"
    );
    Remark::new(line, text)
}

struct Lexer<'a> {
    characters: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    tokens: Vec<Token>,
    word: Option<Word>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            characters: text.chars().peekable(),
            line: 1,
            tokens: Vec::new(),
            word: None,
        }
    }

    fn tokens(mut self) -> Result<Vec<Token>, Remark> {
        while let Some(character) = self.characters.next() {
            match character {
                '\n' => {
                    self.end();
                    self.line += 1;
                }
                ';' if self.characters.peek() != Some(&';') => self.end(),
                ' ' | '\t' | '\r' => self.end_word(),
                '#' if self.word.is_none() => {
                    while self.characters.peek().is_some_and(|next| *next != '\n') {
                        self.characters.next();
                    }
                }
                '|' | '&' if self.characters.next_if_eq(&character).is_some() => {
                    self.end_word();
                    let is_or = character == '|';
                    self.tokens.push(if is_or { Token::Or } else { Token::And });
                }
                '\\' => match self.characters.next() {
                    Some('\n') => self.line += 1,
                    Some(escaped) => self.push(escaped),
                    None => return Err(unknown(self.line, "\\")),
                },
                '\'' => self.single_quoted()?,
                '"' => self.double_quoted()?,
                '$' => {
                    let name = self.variable()?;
                    self.word().parts.push(Part::Variable(name));
                }
                '`' | '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?' => {
                    return Err(unknown(self.line, &character.to_string()));
                }
                other => self.push(other),
            }
        }
        self.end();
        Ok(self.tokens)
    }

    fn word(&mut self) -> &mut Word {
        let line = self.line;
        let parts = Vec::new();
        self.word.get_or_insert(Word { parts, line })
    }

    fn push(&mut self, character: char) {
        let word = self.word();
        if let Some(Part::Text(text)) = word.parts.last_mut() {
            text.push(character);
        } else {
            word.parts.push(Part::Text(character.to_string()));
        }
    }

    fn end_word(&mut self) {
        self.tokens.extend(self.word.take().map(Token::Word));
    }

    fn end(&mut self) {
        self.end_word();
        self.tokens.push(Token::End(self.line));
    }

    fn single_quoted(&mut self) -> Result<(), Remark> {
        let start = self.word().line;
        loop {
            match self.characters.next() {
                Some('\'') => return Ok(()),
                Some(character) => {
                    self.line += usize::from(character == '\n');
                    self.push(character);
                }
                None => return Err(Remark::new(start, "a ' that is never closed")),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), Remark> {
        let start = self.word().line;
        loop {
            match self.characters.next() {
                Some('"') => return Ok(()),
                Some('`') => return Err(unknown(self.line, "`")),
                Some('$') => {
                    let name = self.variable()?;
                    self.word().parts.push(Part::QuotedVariable(name));
                }
                Some('\\') => match self.characters.next() {
                    Some('\n') => self.line += 1,
                    Some(escaped @ ('"' | '\\' | '$' | '`')) => self.push(escaped),
                    Some(other) => {
                        self.push('\\');
                        self.push(other);
                    }
                    None => {}
                },
                Some(character) => {
                    self.line += usize::from(character == '\n');
                    self.push(character);
                }
                None => return Err(Remark::new(start, "a \" that is never closed")),
            }
        }
    }

    /// The name of a variable after its `$`.
    fn variable(&mut self) -> Result<String, Remark> {
        let braced = self.characters.next_if_eq(&'{').is_some();
        let mut name = String::new();
        // A number without braces has one digit.
        while let Some(next) = self.characters.next_if(|next| {
            let follows = next.is_ascii_alphanumeric() || *next == '_';
            let number = name.starts_with(|first: char| first.is_ascii_digit());
            follows && (braced || !number)
        }) {
            name.push(next);
        }
        if name.is_empty() || (braced && self.characters.next() != Some('}')) {
            let brace = if braced { "{" } else { "" };
            return Err(unknown(self.line, &format!("${brace}{name}")));
        }
        Ok(name)
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    /// Statements up to one of some words, which is taken too and given; to the script's end when there are
    /// none.
    fn block<'e>(&mut self, ends: &[&'e str]) -> Result<(Vec<Statement>, Option<&'e str>), Remark> {
        let mut statements = Vec::new();
        loop {
            let word = match self.take() {
                None => return Ok((statements, None)),
                Some(Token::End(_)) => continue,
                Some(Token::Or) => return Err(unknown(self.line(), "||")),
                Some(Token::And) => return Err(unknown(self.line(), "&&")),
                Some(Token::Word(word)) => word,
            };
            let end = ends.iter().find(|end| word.text() == Some(**end));
            if end.is_some() {
                return Ok((statements, end.copied()));
            }
            match word.text() {
                Some("if") => statements.push(self.choice(word.line)?),
                Some("exit") => {
                    self.words();
                    statements.push(Statement::Exit);
                }
                Some(
                    text @ ("then" | "elif" | "else" | "fi" | "for" | "while" | "until" | "case"
                    | "esac" | "do" | "done" | "function" | "{" | "}" | "!" | "[" | "[["
                    | "test"),
                ) => return Err(unknown(word.line, text)),
                _ => statements.push(self.simple(word)?),
            }
        }
    }

    fn choice(&mut self, line: usize) -> Result<Statement, Remark> {
        let mut arms = Vec::new();
        loop {
            let condition = self.condition()?;
            let (body, end) = self.block(&["elif", "else", "fi"])?;
            arms.push((condition, body));
            let (otherwise, end) = match end {
                Some("elif") => continue,
                Some("else") => self.block(&["fi"])?,
                end => (Vec::new(), end),
            };
            return match end {
                Some(_) => Ok(Statement::If { arms, otherwise }),
                None => Err(Remark::new(line, "an 'if' without its 'fi'")),
            };
        }
    }

    /// Everything from after `if` to `then`, which is taken too.
    fn condition(&mut self) -> Result<Condition, Remark> {
        let mut condition = Vec::new();
        let mut joiner = Joiner::Or;
        loop {
            condition.push((joiner, self.comparison()?));
            joiner = match self.take() {
                Some(Token::Or) => Joiner::Or,
                Some(Token::And) => Joiner::And,
                Some(Token::End(_)) => break,
                _ => return Err(unknown(self.line(), "if")),
            };
            while matches!(self.tokens.get(self.next), Some(Token::End(_))) {
                self.next += 1;
            }
        }
        let line = self.line();
        loop {
            match self.take() {
                Some(Token::End(_)) => {}
                Some(Token::Word(word)) if word.text() == Some("then") => return Ok(condition),
                _ => return Err(Remark::new(line, "an 'if' without its 'then'")),
            }
        }
    }

    /// `[ A = B ]`, `[[ A == B ]]` or `test A = B`
    fn comparison(&mut self) -> Result<Comparison, Remark> {
        let line = self.line();
        let words = self.words();
        let texts: Vec<Option<&str>> = words.iter().map(Word::text).collect();
        let inner = match (texts.as_slice(), words.as_slice()) {
            ([Some("["), .., Some("]")], [_, inner @ .., _])
            | ([Some("[["), .., Some("]]")], [_, inner @ .., _])
            | ([Some("test"), ..], [_, inner @ ..]) => inner,
            _ => return Err(unknown(line, "if")),
        };
        let [left, operator, right] = inner else {
            let text = "a condition that is not understood, expected [ A = B ], joined by || or &&";
            return Err(Remark::new(line, text));
        };
        let expected = match operator.text() {
            Some("=" | "==") => Relation::Equal,
            Some("!=") => Relation::Different,
            _ => return Err(unknown(line, operator.text().unwrap_or("$"))),
        };
        Ok(Comparison {
            left: left.clone(),
            right: right.clone(),
            expected,
        })
    }

    /// An assignment or a command that begins with this word.
    fn simple(&mut self, first: Word) -> Result<Statement, Remark> {
        let mut words = vec![first];
        words.extend(self.words());
        if let Some(Token::Or | Token::And) = self.tokens.get(self.next) {
            return Err(unknown(words[0].line, "a command joined with another"));
        }
        let Some((name, value)) = assignment(&words[0]) else {
            return Ok(Statement::Command(words));
        };
        match words.get(1) {
            None => Ok(Statement::Assignment { name, value }),
            Some(word) => Err(unknown(word.line, "a variable for one command")),
        }
    }

    /// The words up to whatever is no word.
    fn words(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        while let Some(Token::Word(word)) = self.tokens.get(self.next) {
            words.push(word.clone());
            self.next += 1;
        }
        words
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += usize::from(token.is_some());
        token
    }

    /// The line of what comes next, or of what was last.
    fn line(&self) -> usize {
        let next = self.tokens.get(self.next).or(self.tokens.last());
        if let Some(Token::Word(Word { line, .. }) | Token::End(line)) = next {
            return *line;
        }
        let before = self.tokens[..self.next].iter().rev();
        let mut lines = before.filter_map(|token| match token {
            Token::Word(word) => Some(word.line),
            _ => None,
        });
        lines.next().unwrap_or(1)
    }
}

/// `NAME=VALUE`
fn assignment(word: &Word) -> Option<(String, Word)> {
    let Some(Part::Text(text)) = word.parts.first() else {
        return None;
    };
    let (name, start) = text.split_once('=')?;
    let is_letter = |one: char| one.is_ascii_alphanumeric() || one == '_';
    if name.is_empty()
        || name.starts_with(|one: char| one.is_ascii_digit())
        || !name.chars().all(is_letter)
    {
        return None;
    }
    let mut parts = word.parts.clone();
    if start.is_empty() {
        parts.remove(0);
    } else {
        parts[0] = Part::Text(start.to_owned());
    }
    let line = word.line;
    Some((name.to_owned(), Word { parts, line }))
}
