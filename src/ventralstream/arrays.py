"""Arrays as people have them, as plain NumPy ones: numbers with NaN for what is missing, columns, names.

Numbers come as masked arrays, pandas' nullable columns, lists of either, tensors, or MATLAB's cells; names as text,
bytes, whole numbers, categories, cells, or characters padded to one width.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ventralstream.errors import VentralError

_SPACE = " \t\r\n\0"
MISSING = frozenset({"", "nan", "NaN", "None", "<NA>", "NaT"})
"""Names that are none: what libraries write where there is nothing."""


def as_floats(values: Any, what: str = "values") -> NDArray[Any]:
    """Numbers of any kind as floats; what is masked or missing is NaN.

    Args:
        values: Booleans, whole numbers or floats of any shape; masked, nullable, or a tensor.
        what: What they are, for the error.

    Returns:
        float32 as it is, everything else as float64; the array itself where nothing is to be changed.

    Raises:
        VentralError: for text, complex numbers, times, or rows of different lengths.
    """
    array = _unmasked(_plain(values, what))
    if array.dtype.kind == "O":
        array = _numbers(array, what)
    if array.dtype.kind not in "fiub":
        raise VentralError(f"{what} are numbers; got {array.dtype} of shape {list(array.shape)}")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def as_column(values: Any) -> NDArray[Any]:
    """A coordinate: one value each; text of any kind is NumPy's, and what is missing in text is None.

    Args:
        values: A list, an array, a pandas column, or a cell array of MATLAB ([n, 1] or [1, n]).

    Raises:
        VentralError: It has other dimensions.
    """
    array = _plain(values, "a coordinate")
    if isinstance(values, np.ndarray) and array.ndim == 2 and array.dtype in (np.dtype("S1"), np.dtype("U1")):
        array = np.array([type(row.flat[0])().join(row.tolist()) for row in array])  # characters, a row a text
    elif array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise VentralError(f"a coordinate is a list of values, got shape {list(array.shape)}")
    masked = np.ma.getmaskarray(array)
    if array.dtype.kind in "OSTU" and not (array.dtype.kind == "U" and not masked.any()):
        cells = [None if gone else _cell(v) for v, gone in zip(np.ma.getdata(array).tolist(), masked, strict=True)]
        return _column_of(cells)
    return _unmasked(array)


def as_names(values: Any, what: str = "names") -> NDArray[np.str_]:
    """Names as text, without space around them; 1, 1.0 and "1" are the same name.

    Args:
        values: As for `as_column`.
        what: What they name, for the error, e.g. "presentations have no 'stimulus_id'".

    Raises:
        VentralError: Names are missing (None, NaN, NA, NaT or empty); it counts them. Or whole numbers were made floats
            that no longer tell them apart, as pandas does where one is missing.
    """
    names = as_text(values)
    missing = np.flatnonzero(np.isin(names, list(MISSING)))
    if len(missing):
        what = what if " " in what else f"{what} are missing"
        raise VentralError(
            f"{len(missing)} of {len(names)} {what} (None, NaN or empty), the first of them number {missing[0] + 1};"
            " name them or leave them out"
        )
    return names


def as_text(values: Any) -> NDArray[np.str_]:
    """Names as `as_names` has them, "" where they are missing."""
    column = as_column(values)
    if column.dtype.kind == "U":
        return np.char.strip(column, _SPACE)
    if column.dtype.kind == "f" and (large := abs(column) >= 2 ** (np.finfo(column.dtype).nmant + 1)).any():
        raise VentralError(
            f"{int(large.sum())} names are floats such as {column[large][0]:.20g}, too large to tell whole numbers"
            " apart; keep them as whole numbers or text"
        )
    return np.array([_name(v) for v in column.tolist()], dtype=str)


def distinct(values: Any, what: str = "values") -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The different values of a column, sorted, and which of them each row has.

    Args:
        values: Numbers, sorted as numbers; anything else is taken as names.
        what: What they are, for the error, as for `as_names`.

    Raises:
        VentralError: Values are missing; it counts them.
    """
    column = as_column(values)
    if column.dtype.kind not in "biufmM":
        column = as_keys(as_names(column, what))
    elif missing := int(np.sum(column != column)):
        what = what if " " in what else f"{what} are missing"
        raise VentralError(f"{missing} of {len(column)} {what} (NaN); leave them out")
    found, index = np.unique(column, return_inverse=True)
    return found, index


def as_keys(names: NDArray[np.str_]) -> NDArray[np.str_]:
    """Names in the form in which they are compared: a letter and its accent are one character or two, but equal."""
    if not names.size or (np.ascontiguousarray(names).view(np.uint32) < 128).all():
        return names
    return np.array([unicodedata.normalize("NFC", name) for name in names.tolist()], dtype=str)


def _plain(values: Any, what: str) -> NDArray[Any]:
    """A NumPy array, masked if `values` or one of its rows is."""
    if hasattr(values, "detach"):  # a tensor
        values = values.detach().cpu()
        values = (values.to_dense() if values.is_sparse else values).resolve_conj().resolve_neg()
        values = (values.float() if values.dtype.is_floating_point and values.itemsize < 4 else values).numpy()
    if hasattr(values, "to_numpy") and not hasattr(values, "dims"):  # pandas
        return np.asarray(values.to_numpy())
    if isinstance(values, np.ndarray):
        return values
    try:
        return _stacked(values) if _is_masked(values) else np.asarray(values)
    except ValueError:  # rows of different lengths
        raise VentralError(f"{what}: expected a whole array, got rows of different lengths") from None


def _is_masked(values: Any) -> bool:
    if isinstance(values, (list, tuple)):
        return any(map(_is_masked, values))
    return isinstance(values, np.ma.MaskedArray)


def _stacked(values: Any) -> NDArray[Any]:
    """Lists with masked rows as a masked array; NumPy's own conversion loses the masks."""
    if isinstance(values, (list, tuple)):
        return np.ma.stack([_stacked(v) for v in values])  # type: ignore[no-untyped-call, no-any-return]
    return np.ma.asarray(values)  # type: ignore[no-untyped-call, no-any-return]


def _unmasked(array: NDArray[Any]) -> NDArray[Any]:
    """A masked array as a plain one, NaN (or None) where it is masked."""
    if not isinstance(array, np.ma.MaskedArray):
        return array
    mask, data = np.ma.getmaskarray(array), np.ma.getdata(array)
    if not mask.any():
        return np.asarray(data)
    if data.dtype.kind in "biu" or data.dtype == np.float16:
        data = data.astype(np.float64)
    elif data.dtype.kind not in "fc":
        data = data.astype(object)
    nothing: Any = None if data.dtype.kind == "O" else np.nan
    return np.where(mask, nothing, data)


def _numbers(array: NDArray[Any], what: str) -> NDArray[np.float64]:
    """Objects that are numbers, or nothing."""
    found = np.empty(array.size)
    for i, value in enumerate(array.ravel().tolist()):
        value = _cell(value)
        if value is None:
            found[i] = np.nan
        elif isinstance(value, (bool, int, float, np.bool_, np.number)) and not isinstance(value, complex):
            try:
                found[i] = float(value)
            except OverflowError:
                raise VentralError(f"{what} are numbers; got a whole number too large for a float") from None
        else:
            raise VentralError(f"{what} are numbers; got {type(value).__name__} among them")
    return found.reshape(array.shape)


def _cell(value: Any) -> Any:
    """What is in a cell of MATLAB; bytes as text; None for what is nothing (None, NaN, NA, NaT, masked)."""
    while isinstance(value, (np.ndarray, list, tuple)) and len(np.ravel(np.asarray(value))) <= 1:
        inner = np.ravel(np.asarray(value))
        value = inner.tolist()[0] if len(inner) else ""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, (float, np.floating, np.datetime64, np.timedelta64)) and value != value:
        return None
    return value


def _column_of(cells: list[Any]) -> NDArray[Any]:
    """Text where all is text, numbers where all is numbers; else objects."""
    if all(isinstance(v, str) for v in cells):
        return np.array(cells, dtype=str)
    if all(v is None or (isinstance(v, (bool, int, float, np.number))) for v in cells) and cells:
        return _numbers(np.array(cells, dtype=object), "a coordinate") if None in cells else np.array(cells)
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return column


def _name(value: Any) -> str:
    value = _cell(value)
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip(_SPACE)
