//! Expressions, by precedence: OR, AND, NOT, comparison, sum, product, operand.

use super::super::super::value::Value;
use super::super::ast::{Expr, Operator, Scope};
use super::super::lex::What;
use super::{DEPTH_MAX, Parser, Result};
use std::rc::Rc;

fn binary(operator: Operator, left: Expr, right: Expr) -> Expr {
    Expr::Binary(operator, Rc::new((left, right)))
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error());
        }
        let mut left = self.conjunction()?;
        while self.take_word("OR") {
            left = binary(Operator::Or, left, self.conjunction()?);
        }
        self.depth -= 1;
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Expr> {
        let mut left = self.negation()?;
        while self.take_word("AND") {
            left = binary(Operator::And, left, self.negation()?);
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Expr> {
        let mut negated = false;
        while self.take_word("NOT") {
            negated = !negated;
        }
        let expr = self.comparison()?;
        Ok(if negated { Expr::Not(Box::new(expr)) } else { expr })
    }

    fn comparison(&mut self) -> Result<Expr> {
        let mut left = self.sum()?;
        loop {
            let operator = match self.token.what {
                What::Symbol("=") => Operator::Equal,
                What::Symbol("<>" | "!=") => Operator::NotEqual,
                What::Symbol("<") => Operator::Less,
                What::Symbol("<=") => Operator::LessOrEqual,
                What::Symbol(">") => Operator::Greater,
                What::Symbol(">=") => Operator::GreaterOrEqual,
                _ => return self.predicate(left),
            };
            self.advance();
            left = binary(operator, left, self.sum()?);
        }
    }

    /// IS NULL, IN, BETWEEN.
    fn predicate(&mut self, left: Expr) -> Result<Expr> {
        if self.take_word("IS") {
            let not = self.take_word("NOT");
            self.expect_word("NULL")?;
            return Ok(Expr::IsNull(Box::new(left), not));
        }
        let not = self.take_word("NOT");
        if self.take_word("IN") {
            self.expect_symbol("(")?;
            let list = self.comma_separated(Self::expression)?;
            self.expect_symbol(")")?;
            return Ok(Expr::In(Box::new(left), list, not));
        }
        if self.take_word("BETWEEN") {
            let low = self.sum()?;
            self.expect_word("AND")?;
            let high = self.sum()?;
            let least = binary(Operator::GreaterOrEqual, left.clone(), low);
            let within = binary(Operator::And, least, binary(Operator::LessOrEqual, left, high));
            return Ok(if not { Expr::Not(Box::new(within)) } else { within });
        }
        if not { Err(self.error()) } else { Ok(left) }
    }

    fn sum(&mut self) -> Result<Expr> {
        let mut left = self.product()?;
        loop {
            let operator = match self.token.what {
                What::Symbol("+") => Operator::Add,
                What::Symbol("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.advance();
            left = binary(operator, left, self.product()?);
        }
    }

    fn product(&mut self) -> Result<Expr> {
        let mut left = self.operand()?;
        loop {
            let operator = match self.token.what {
                What::Symbol("*") => Operator::Multiply,
                What::Symbol("%") => Operator::Modulo,
                _ => return Ok(left),
            };
            self.advance();
            left = binary(operator, left, self.operand()?);
        }
    }

    pub(super) fn operand(&mut self) -> Result<Expr> {
        let expr = match &self.token.what {
            What::Number(n) => Expr::Literal(Value::Int(*n)),
            What::Decimal(text) => Expr::Literal(Value::text(text)),
            What::Text(text) => Expr::Literal(Value::text(text)),
            What::User(name) => Expr::UserVariable(name.clone()),
            What::System => return self.system_variable(),
            What::Word(_) | What::Quoted(_) => return self.word(),
            What::Symbol("?") => {
                self.parameters += 1;
                Expr::Parameter(self.parameters - 1)
            }
            What::Symbol("-") => {
                self.advance();
                return Ok(match self.operand()? {
                    Expr::Literal(Value::Int(n)) => Expr::Literal(Value::Int(-n)),
                    other => Expr::Minus(Box::new(other)),
                });
            }
            What::Symbol("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect_symbol(")")?;
                return Ok(inner);
            }
            _ => return Err(self.error()),
        };
        self.advance();
        Ok(expr)
    }

    fn system_variable(&mut self) -> Result<Expr> {
        self.advance();
        let mut name = self.variable_name()?;
        let scope = match name.as_str() {
            "global" => Some(Scope::Global),
            "session" | "local" => Some(Scope::Session),
            _ => None,
        };
        if scope.is_some() {
            self.expect_symbol(".")?;
            name = self.variable_name()?;
        }
        Ok(Expr::SystemVariable(scope, name))
    }

    /// The name of a system variable, in lower case. Some are reserved words.
    pub(super) fn variable_name(&mut self) -> Result<String> {
        let name = match &self.token.what {
            What::Word(word) => word.to_ascii_lowercase(),
            What::Quoted(name) => name.to_ascii_lowercase(),
            _ => return Err(self.error()),
        };
        self.advance();
        Ok(name)
    }

    /// A word constant, a function or a column.
    fn word(&mut self) -> Result<Expr> {
        for (word, value) in [("NULL", Value::Null), ("TRUE", Value::Int(1)), ("FALSE", Value::Int(0))] {
            if self.take_word(word) {
                return Ok(Expr::Literal(value));
            }
        }
        let call = self.sql[self.token.end..].trim_start().starts_with('(');
        if !call {
            let mut name = self.name()?;
            while self.take_symbol(".") {
                name = self.name()?;
            }
            return Ok(Expr::Column(name));
        }
        let mut name = self.variable_name()?;
        name.make_ascii_uppercase();
        self.expect_symbol("(")?;
        if self.take_symbol(")") {
            return Ok(Expr::Call(name, Vec::new()));
        }
        let arguments = if self.take_symbol("*") { Vec::new() } else { self.comma_separated(Self::expression)? };
        self.expect_symbol(")")?;
        Ok(Expr::Call(name, arguments))
    }
}
